"""Word order: the same words, in another role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pgsrm_plugin.guards.base import NONE, Compared, Guard, Violation
from pgsrm_plugin.guards.english.order import active, displaced, orders, scattered
from pgsrm_plugin.guards.english.reading import ramp, read

if TYPE_CHECKING:
    from pgsrm_plugin.types import Embedder


class WordOrder(Guard):
    r"""All words of the reference in another order: who did it to whom, or a shuffle.

    With :math:`b` the F1 of the two bags of words, of the shared content words :math:`m` the share outside the longest
    common order and :math:`s` the share out of place, and the ramp :math:`\rho` from 0 to 0.08: the ramp of :math:`b`
    from 0.88 to 0.94, times :math:`\max(0.4 \rho(m), \rho(s))`. A run of words that stay together is out of place if
    neither the word before it nor the one after it is what it was, articles, forms of "be" and repeated words apart,
    unless it is a clause with a participle. So a phrase that moves with its preposition costs little. Where the content
    words are in order, the share of all words outside the longest common order counts, from 0.3 to 0.45.

    What English lets change places costs nothing: a phrase or clause that opens the sentence ("in winter, the lake
    freezes"), the sides of "next to", "near", "while" and their like, the items of an enumeration. Where only one of
    the texts is in the passive, it is read as its active: "the cat was chased by the dog" is "the dog chased the cat".
    The order of words says who did what in English and its like; in languages of free word order leave the guard out.
    """

    kind: Literal["word_order"] = "word_order"

    def violations(self, pairs: Sequence[Compared], encoder: Embedder) -> list[Violation]:
        """See :meth:`pgsrm_plugin.guards.base.Guard.violations`."""
        return [_violation(pair) for pair in pairs]


def _violation(pair: Compared) -> Violation:
    response, reference = read(pair.response), read(pair.reference)
    if response.plain == reference.plain:
        return NONE
    said, expected = active(pair.response), active(pair.reference)
    if (said is None) == (expected is None):
        said = expected = None
    shorter = sum(one is not None for one in (said, expected))
    likeness = _likeness(response.plain, reference.plain, 2 * shorter)
    same_words = ramp(likeness, 0.88, 0.94)
    if not same_words:
        return NONE
    said, expected = said or response.words, expected or reference.words
    found = NONE
    for one, other in zip(orders(said), orders(expected), strict=True):
        moved = displaced(one, other)
        share = same_words * max(_SLIGHT * ramp(moved.share, 0.0, 0.08), ramp(moved.strayed, 0.0, 0.08))
        if not share:
            loose = same_words * ramp(scattered(said, expected), 0.3, 0.45)
            return Violation(loose, response.plain[:8]) if loose else NONE
        if not found.share or share < found.share:
            found = Violation(share, moved.words)
    return found


def _likeness(response: Sequence[str], reference: Sequence[str], apart: int) -> float:
    """The F1 of two bags of words; ``apart`` words of the longer one, a passive's "was" and "by", do not count."""
    said, expected = (Counter(_SAME.get(word, word) for word in text) for text in (response, reference))
    shared = (said & expected).total()
    return 2 * shared / max(1, len(response) + len(reference) - apart)


_SLIGHT = 0.4
"""What a phrase that only moved breaks: among true paraphrases as frequent as among false ones, so it decides no more
than between near copies."""
_SAME = {
    word: group.split()[0]
    for group in ("it they he she", "is are am", "was were", "has have", "a an", "his her its their", "him them")
    for word in group.split()
}
"""Words that differ only with the number or sex of what they speak of."""
