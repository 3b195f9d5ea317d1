"""The workload: groups of responses to one prompt, each compared with the prompt's one reference, as GRPO scores them.

Texts are made of common words by a seeded generator, so nothing is downloaded and the same settings give the same
texts on every machine. A response takes some sentences from the reference, some about the same things and a few about
others, about as many as the other responses of its group: the cosines of a group lie close together, as in training.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pgsrm_lab.bench.vocabulary import ADJECTIVES, LINKS, NOUNS, OPENINGS, VERBS
from pgsrm_plugin.errors import SpecError

LENGTH_SIGMA = 0.6
"""Standard deviation of the logarithm of a text's length."""
TOKENS_PER_WORD = 1.12
"""Of these texts under BERT's tokenizer; full stops are tokens too."""
TOPIC_WORDS = 12
"""Words of each kind that the texts of one prompt draw on."""
LIKENESS_SIGMA = 0.1
"""How far the responses of a group differ in the share of sentences that they take from the reference."""
_ALL = (NOUNS, VERBS, ADJECTIVES)


@dataclass(frozen=True)
class WorkloadSettings:
    """The shape of the workload.

    Attributes:
        prompts: groups.
        group: responses to a prompt.
        mean_tokens: mean length of a text, before the encoder's truncation.
        duplicates: share of responses that equal an earlier one of their group.
        seed: of everything drawn.

    Raises:
        SpecError: a number is out of range.
    """

    prompts: int = 128
    group: int = 8
    mean_tokens: int = 130
    duplicates: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        if self.prompts < 1 or self.group < 2 or self.mean_tokens < 4:
            raise SpecError("a workload needs at least 1 prompt, 2 responses a group and 4 tokens a text")
        if not 0 <= self.duplicates < 1:
            raise SpecError(f"the share of duplicates must be in [0, 1), not {self.duplicates:g}")


@dataclass(frozen=True)
class Pairs:
    """What is scored: equally long columns, the rows of a group adjacent.

    Attributes:
        responses: what is scored.
        references: what each is compared with; the same text throughout a group.
        groups: the number of each row's prompt.
    """

    responses: tuple[str, ...]
    references: tuple[str, ...]
    groups: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.responses)

    def take(self, rows: Sequence[int]) -> Pairs:
        """Some of the rows, in the order given."""
        return Pairs(
            tuple(self.responses[row] for row in rows),
            tuple(self.references[row] for row in rows),
            tuple(self.groups[row] for row in rows),
        )

    def distinct_texts(self) -> list[str]:
        """Every text of either side once, in order of appearance."""
        return list(dict.fromkeys((*self.responses, *self.references)))

    def spread_groups(self, count: int) -> list[int]:
        """The rows of ``count`` whole groups (all, where there are fewer), evenly spaced over the workload."""
        numbers = list(dict.fromkeys(self.groups))
        chosen = {numbers[i * len(numbers) // count] for i in range(count)} if count < len(numbers) else set(numbers)
        return [row for row, group in enumerate(self.groups) if group in chosen]


def make_workload(settings: WorkloadSettings) -> Pairs:
    """The pairs. With fewer prompts: the first groups of the same texts."""
    rows = []
    for prompt in range(settings.prompts):
        rng = random.Random(f"{settings.seed}/{prompt}")
        writer = _Writer(rng, settings.mean_tokens)
        repeated = _repeats(settings, prompt)
        answers = [writer.response() for _ in range(settings.group - repeated)]
        answers += [answers[rng.randrange(len(answers))] for _ in range(repeated)]
        rng.shuffle(answers)
        rows += [(answer, writer.reference, prompt) for answer in answers]
    responses, references, groups = zip(*rows, strict=True)
    return Pairs(responses, references, groups)


def _repeats(settings: WorkloadSettings, prompt: int) -> int:
    """Duplicates in one group, so that the first n groups together have the share, rounded."""
    share = settings.duplicates * settings.group
    due = math.floor((prompt + 1) * share + 0.5) - math.floor(prompt * share + 0.5)
    return min(due, settings.group - 1)


class _Writer:
    """The texts of one prompt."""

    def __init__(self, rng: random.Random, mean_tokens: int) -> None:
        self._rng = rng
        self._mean_words = mean_tokens / TOKENS_PER_WORD
        self._topic = tuple(rng.sample(words, TOPIC_WORDS) for words in _ALL)
        self._likeness = rng.uniform(0.3, 0.9)
        self._sentences = self._fill(lambda: self._sentence(self._topic))
        self.reference = _prose(self._sentences)

    def response(self) -> str:
        """A text between the reference's own sentences and something else altogether."""
        rng = self._rng
        likeness = rng.gauss(self._likeness, LIKENESS_SIGMA)

        def sentence() -> list[str]:
            if rng.random() < likeness:
                return self._reworded(rng.choice(self._sentences))
            return self._sentence(self._topic if rng.random() < 0.7 else _ALL)

        return _prose(self._fill(sentence))

    def _fill(self, sentence: Callable[[], list[str]]) -> list[list[str]]:
        """Sentences of as many words together as a draw from the lengths' distribution says."""
        mu = math.log(self._mean_words) - LENGTH_SIGMA**2 / 2
        left = max(2, round(self._rng.lognormvariate(mu, LENGTH_SIGMA)))
        sentences = []
        while left > 0:
            sentences.append(sentence()[:left])
            left -= len(sentences[-1])
        return sentences

    def _reworded(self, sentence: list[str]) -> list[str]:
        changed = list(sentence)
        changed[self._rng.randrange(len(changed))] = self._rng.choice(ADJECTIVES)
        return changed

    def _sentence(self, words: Sequence[Sequence[str]]) -> list[str]:
        rng = self._rng
        nouns, verbs, adjectives = words

        def clause() -> list[str]:
            subject, thing = rng.sample(nouns, 2)
            return ["the", rng.choice(adjectives), subject, rng.choice(verbs), "the", thing]

        sentence = [rng.choice(OPENINGS), *clause()] if rng.random() < 0.4 else clause()
        return [*sentence, rng.choice(LINKS), *clause()] if rng.random() < 0.5 else sentence


def _prose(sentences: Sequence[Sequence[str]]) -> str:
    return " ".join(" ".join(words).capitalize() + "." for words in sentences)
