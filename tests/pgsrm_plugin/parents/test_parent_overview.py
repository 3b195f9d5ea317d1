"""The page of a parent's answers: what a model wrote stays text."""

from pgsrm_plugin.parents.review.overview import ParentPage, render
from pgsrm_plugin.parents.review.quality import FlaggedAnswer, Quality


def test_what_models_wrote_is_escaped():
    wicked = "</td><script>alert(1)</script>{{ 6 * 7 }}"
    quality = Quality(answers=1, prompts=1)
    quality.add(FlaggedAnswer("refusal", "0123456789abcdef", wicked, wicked, wicked))
    text = render(ParentPage(wicked, quality, [], None))
    escaped = "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;{{ 6 * 7 }}"
    assert "<script" not in text
    assert text.count(f'<td class="text">{escaped}</td>') == 3
    assert text.count(f"Parent&#39;s answers: {escaped}") == 2
