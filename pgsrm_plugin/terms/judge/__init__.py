"""Judge: a language model that says how well an answer meets a rubric."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pgsrm_plugin.asking.language_model import LanguageModelSettings, LanguageModelSpec
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.section import beside_spec
from pgsrm_plugin.terms.base import Needs, Term
from pgsrm_plugin.terms.judge.openers import is_opener
from pgsrm_plugin.terms.judge.rubric import Criterion, Rubric, parse_rubric, prompt_key, rubrics_of, weighted

if TYPE_CHECKING:
    from pgsrm_plugin.terms.judge.questions import Case
    from pgsrm_plugin.types import Embedder, Reply, Row

R = TypeVar("R")
_Readings: TypeAlias = "Sequence[Callable[[Reply], R | None]]"


class Judge(LanguageModelSettings, Term):
    r"""How well the answer meets a rubric, by a language model that is asked.

    ``pointwise``: :math:`[\text{all gates passed}] \sum_k w_k v_k / \sum_k w_k` with verdicts :math:`v_k` on the
    criteria, yes 1 and no 0, or :math:`(s - 1) / 4` of a grade (QA-LIGN, arXiv 2506.08123). ``rating``: one
    :math:`(s - 1) / 4`. ``listwise``: the same of each answer, with the whole group before the judge (RewardAnything,
    arXiv 2506.03637). ``tournament``: the share of its matches that an answer wins, a tie counts half (RM-R1, arXiv
    2505.02387). ``yes_probability``: P(yes) / (P(yes) + P(no)) of the first token (Activation RM, arXiv 2507.01368).

    What says nothing (openers, punctuation) is worth 0 and never reaches the judge. An answer of the judge that is not
    in the form asked for is asked for again, and then makes the row unscorable; a call that fails stops the step.
    """

    kind: Literal["judge"] = "judge"
    others_say: ClassVar = ("llm_judge", "llm_as_a_judge", "rubric", "geval", "g_eval", "generative_rm", "genrm")
    also_known_as: ClassVar = {
        "criteria": "write `rubric`",
        "principle": "write `rubric`, with the principle as its one criterion",
        "principles": "write `rubric`",
        "prompt": "write `rubric`: the question is built around it",
        "rubric_path": "write `rubric_store`, or the criteria themselves under `rubric`",
    }
    mode: Literal["pointwise", "rating", "listwise", "tournament", "yes_probability"] = Field(
        "pointwise", description="what the judge is asked; listwise and tournament compare the answers to one prompt"
    )
    rubric: Rubric | None = Field(None, description="criteria: texts, or {text, weight, gate, graded}")
    rubric_column: str | None = Field(
        None, min_length=1, description="where rows keep their own, as a dotted path: a list, its JSON, or lines"
    )
    rubric_store: Path | None = Field(None, description="the store that `pgsrm parent rubrics` wrote, one a prompt")
    show_reference: bool = Field(False, description="show the row's first reference to the judge as a good answer")
    critique: bool = Field(True, description="have the judge write before it decides; not for yes_probability")
    max_chars: int = Field(8000, ge=100, description="longer texts are cut before the judge reads them")
    tries: int = Field(2, ge=1, le=10, description="answers asked for until one is in the form asked for")
    use_rank: bool = Field(False, description="listwise: break ties by the judge's order, a thousandth of the value")
    opponents: int | None = Field(
        None, ge=1, description="tournament: matches of an answer; default: against every other one"
    )

    _beside = field_validator("rubric_store", mode="before")(beside_spec)

    @model_validator(mode="after")
    def _one_rubric(self) -> Self:
        sources = [name for name in ("rubric", "rubric_column", "rubric_store") if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ValueError(
                f"give one of rubric, rubric_column and rubric_store, not {' and '.join(sources) or 'none'}"
            )
        if self.rubric is not None:
            weighted(self.rubric)
        if self.use_rank and self.mode != "listwise":
            raise ValueError("use_rank: it is for mode: listwise")
        if self.opponents is not None and self.mode != "tournament":
            raise ValueError("opponents: it is for mode: tournament")
        return self

    @property
    def needs_groups(self) -> bool:
        """Where answers are compared."""
        return self.mode in ("listwise", "tournament")

    @property
    def declines(self) -> bool:
        """Where the judge's answers are not in the form asked for."""
        return True

    def alone(self) -> Term:
        """A rating by the same rubric, where answers are compared."""
        update = {"mode": "rating", "use_rank": False, "opponents": None}
        return self.model_copy(update=update) if self.needs_groups else self

    def needs(self) -> Needs:
        """The model, and where rubric and reference stand."""
        columns = () if self.rubric_column is None else (self.rubric_column,)
        return Needs(references=self.show_reference, columns=columns, model=self.language_model)

    def check_row(self, row: Row, name: str) -> None:
        """Refuses a row without a rubric, or with one that is none."""
        try:
            self._rubric_of(row)
        except DataError as error:
            raise DataError(f"{error} (term {name!r})") from None

    @property
    def language_model(self) -> LanguageModelSpec:
        """The model alone; parts that name the same one share it and what it said."""
        own = {name: getattr(self, name) for name in LanguageModelSettings.model_fields}
        return LanguageModelSpec(**own, first_token=self.mode == "yes_probability")

    def score(self, rows: Sequence[Row], encoder: Embedder) -> list[float | None]:
        """Values in [0, 1]; None where the judge said nothing of use."""
        if self.needs_groups:
            return [value for (value,) in self.score_groups([[row] for row in rows], encoder)]
        judged = [row for row in rows if not self._is_junk(row)]
        found = iter(self._singly(judged, encoder))
        return [0.0 if self._is_junk(row) else next(found) for row in rows]

    def score_groups(self, groups: Sequence[Sequence[Row]], encoder: Embedder) -> list[list[float | None]]:
        """Values in [0, 1] of the rows of each group; None where the judge said nothing of use."""
        fields = [[row for row in group if not self._is_junk(row)] for group in groups]
        found = iter(self._together([field for field in fields if field], encoder))
        values = [next(found) if field else {} for field in fields]
        return [
            [0.0 if self._is_junk(row) else own[row.response.text] for row in group]
            for group, own in zip(groups, values, strict=True)
        ]

    def _singly(self, rows: Sequence[Row], encoder: Embedder) -> list[float | None]:
        from pgsrm_plugin.terms.judge import questions, verdicts

        word = {"pointwise": questions.on_criteria, "rating": questions.on_one}.get(self.mode, questions.yes_or_no)
        texts = [word(self._case(row), row.response.text) for row in rows]
        if self.mode == "rating":
            readings: _Readings[float] = [lambda reply: verdicts.rating_in(reply.text)] * len(rows)
        elif self.mode == "pointwise":
            readings = [functools.partial(_met, rubric=self._rubric_of(row)) for row in rows]
        else:
            readings = [_yes] * len(rows)
        return self._ask(texts, readings, encoder)

    def _together(self, groups: Sequence[Sequence[Row]], encoder: Embedder) -> list[dict[str, float | None]]:
        """The value of each answer of each group."""
        from pgsrm_plugin.terms.judge import matches, questions, verdicts

        cases = [self._case(group[0]) for group in groups]
        orders = [
            matches.shuffled(case.prompt, [row.response.text for row in group])
            for case, group in zip(cases, groups, strict=True)
        ]
        if self.mode == "listwise":
            named = [[(f"#{number}", text) for number, text in enumerate(order, 1)] for order in orders]
            texts = [questions.on_all(case, answers) for case, answers in zip(cases, named, strict=True)]
            readings = [functools.partial(_scores, names=[n for n, _ in one], use_rank=self.use_rank) for one in named]
            scored = self._ask(texts, readings, encoder)
            none: dict[str, float | None] = {}
            return [
                dict.fromkeys(order) if values is None else none | dict(zip(order, values, strict=True))
                for order, values in zip(orders, scored, strict=True)
            ]
        played = [list(matches.pairs(order, self.opponents)) for order in orders]
        texts = [questions.on_two(case, *match) for case, own in zip(cases, played, strict=True) for match in own]
        verdict = iter(self._ask(texts, [lambda reply: verdicts.winner_in(reply.text)] * len(texts), encoder))
        return [
            dict(zip(order, matches.wins(order, own, [next(verdict) for _ in own]), strict=True))
            for order, own in zip(orders, played, strict=True)
        ]

    def _ask(self, texts: Sequence[str], readings: _Readings[R], encoder: Embedder) -> list[R | None]:
        """What is read in the model's replies, asked for again as long as nothing is, at most ``tries`` times."""
        found: list[R | None] = [None] * len(texts)
        for sample in range(self.tries):
            open_ones = [i for i, one in enumerate(found) if one is None]
            replies = encoder.ask(self.language_model, [(texts[i], str(sample)) for i in open_ones])
            for i, reply in zip(open_ones, replies, strict=True):
                found[i] = readings[i](reply)
        return found

    def _case(self, row: Row) -> Case:
        from pgsrm_plugin.terms.judge.questions import Case

        reference = row.targets[0] if self.show_reference else None
        return Case(row.prompt, self._rubric_of(row), reference, self.max_chars, self.critique)

    def _rubric_of(self, row: Row) -> tuple[Criterion, ...]:
        if self.rubric is not None:
            return self.rubric
        if self.rubric_column is not None:
            text = row.columns[self.rubric_column]
            if not text.strip():
                raise DataError(f"field {self.rubric_column!r} is missing: the row has no rubric")
            return _parsed(text, f"field {self.rubric_column!r}")
        assert self.rubric_store is not None
        found = _stored(self.rubric_store).get(prompt_key(row.prompt))
        if found is None:
            raise DataError(f"{self.rubric_store} has no rubric of the prompt; write it with `pgsrm parent rubrics`")
        return found

    def _is_junk(self, row: Row) -> bool:
        return is_opener(row.response.text, (*row.targets, *row.ground_truths))


_parsed = functools.lru_cache(maxsize=4096)(parse_rubric)
_stored = functools.lru_cache(maxsize=16)(rubrics_of)


def _met(reply: Reply, rubric: Sequence[Criterion]) -> float | None:
    from pgsrm_plugin.terms.judge.verdicts import rubric_value, verdicts_in

    values = verdicts_in(reply.text, rubric)
    return None if values is None else rubric_value(values, rubric)


def _yes(reply: Reply) -> float | None:
    from pgsrm_plugin.terms.judge.verdicts import yes_share

    return yes_share(dict(zip(reply.names, reply.values, strict=True)))


def _scores(reply: Reply, names: Sequence[str], use_rank: bool) -> list[float] | None:
    from pgsrm_plugin.terms.judge.verdicts import scores_in

    return scores_in(reply.text, names, use_rank)
