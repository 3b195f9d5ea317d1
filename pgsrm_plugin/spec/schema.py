"""RewardSpec: the whole of a reward YAML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import Field, field_serializer, field_validator, model_validator
from typing_extensions import Self

from pgsrm_plugin import aggregates, credit, encoders, guards, shapes, terms
from pgsrm_plugin.aggregates import Aggregate, Sum, Weighed
from pgsrm_plugin.credit import Credit
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.cache import DiskCacheSpec
from pgsrm_plugin.errors import did_you_mean
from pgsrm_plugin.guards import Guard
from pgsrm_plugin.kinds import Kinds
from pgsrm_plugin.policy.base import Weights
from pgsrm_plugin.section import Section, problem_at
from pgsrm_plugin.shapes import Shape
from pgsrm_plugin.shapes.base import AgainstBaselines
from pgsrm_plugin.terms import Term
from pgsrm_plugin.text import TextSpec

if TYPE_CHECKING:
    AnyTerm = Term
    AnyGuard = Guard
    AnyAggregate = Aggregate
    AnyShape = Shape
    AnyCredit = Credit
    AnyEncoder = EncoderSection
else:  # the kinds are known when the program runs: other packages add theirs
    AnyTerm = Annotated[Union[tuple(terms.KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
    AnyGuard = Annotated[Union[tuple(guards.KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
    AnyAggregate = Annotated[Union[tuple(aggregates.KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
    AnyShape = Annotated[Union[tuple(shapes.KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
    AnyCredit = Annotated[Union[tuple(credit.KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
    AnyEncoder = Annotated[Union[tuple(encoders.KINDS.values())], Field(discriminator="kind")]  # noqa: UP007

RESERVED = frozenset(
    {
        "scored",
        "unscorable",
        "truncated",
        "reference_truncated",
        "pair_truncated",
        "unknown_words",
        "reference_unknown_words",
        "response_chars",
        "reasoning_chars",
        "gate_failed",
        "unshaped",
        "baseline",
    }
)
"""Names that the output's own columns have."""
Weight = Annotated[float, Field(ge=-1e6, le=1e6)]


class GateSpec(Section):
    """A condition on one term's raw value. A row that fails gets the worst value of every term not in ``keep``."""

    also_known_as: ClassVar = {
        "name": "write `term`",
        "min": "write `at_least`",
        "threshold": "write `at_least`",
        "max": "write `at_most`",
    }
    term: str
    at_least: float | None = None
    at_most: float | None = None
    keep: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        return self


class RewardSpec(Section):
    """One reward: an encoder, terms, weights, gates and how they are composed.

    See docs/guides/spec.md for every key, and ``pgsrm spec schema`` for the JSON Schema.
    """

    also_known_as: ClassVar = {
        "embedder": "write `encoder`",
        "embedding": "write `encoder`",
        "model": "write `encoder: {kind: ..., model: ...}`",
        "rewards": "write `terms`",
        "reward_funcs": "write `terms`, a mapping from names to settings",
        "components": "write `terms`",
        "reward_weights": "write `weights`, a mapping from terms to numbers",
        "coefficients": "write `weights`",
    }
    name: str = Field("", description="shown in logs and reports")
    description: str = ""
    encoder: AnyEncoder | None = Field(None, description="needed where a term embeds texts or counts their tokens")
    text: TextSpec = TextSpec()
    terms: dict[str, AnyTerm] = Field(min_length=1, description="by name; the name is the kind unless `kind` is given")
    guards: dict[str, AnyGuard] = Field(
        {}, description="by name, as terms: what they find wrong in a pair takes away from its likeness"
    )
    weights: dict[str, Weight] = Field({}, description="by term; a term of weight 0 is computed and logged only")
    gates: tuple[GateSpec, ...] = ()
    aggregate: AnyAggregate = Field(
        Sum(), description="how the terms become one reward: a kind, or a section with its settings"
    )
    shape: AnyShape | None = Field(
        None,
        exclude_if=lambda given: given is None,
        description="what is made of the reward, mostly by what the starting policy earned",
    )
    credit: AnyCredit | None = Field(
        None,
        exclude_if=lambda given: given is None,
        description="which tokens of a response earned its reward, for trainers that know its tokens",
    )
    unscorable: Literal["floor", "mask", "raise"] = Field(
        "floor", description="floor: worst value of every term; mask: left out of the loss; raise: stop"
    )
    cache_mb: float = Field(256.0, ge=0, description="memory for embeddings kept between batches; 0 keeps none")
    disk_cache: DiskCacheSpec | None = Field(None, description="keep embeddings on disk too, between runs")

    @field_validator("terms", mode="before")
    @classmethod
    def _kind_of_term_from_name(cls, sections: Any) -> Any:
        return _named(sections, "terms", "term", terms.KINDS)

    @field_validator("guards", mode="before")
    @classmethod
    def _kind_of_guard_from_name(cls, sections: Any) -> Any:
        return _named(sections, "guards", "guard", guards.KINDS)

    @field_validator("aggregate", "shape", "credit", mode="before")
    @classmethod
    def _kind_alone(cls, section: Any) -> Any:
        return {"kind": section} if isinstance(section, str) else section

    @field_serializer("aggregate")
    def _aggregate_as_written(self, aggregate: Aggregate) -> Any:
        settings = aggregate.model_dump()
        return aggregate.kind if len(settings) == 1 else settings

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for name in self.weights:
            if name not in self.terms:
                raise problem_at(("weights", name), f"there is no term {name!r}{did_you_mean(name, self.terms)}")
        if self.weights:
            for name, term in self.terms.items():
                if name not in self.weights and not term.is_diagnostic:
                    raise problem_at(("weights",), f"term {name!r} has no weight; give it 0 to log it only")
        for number, gate in enumerate(self.gates):
            for name in (gate.term, *gate.keep):
                if name not in self.terms:
                    message = f"there is no term {name!r}{did_you_mean(name, self.terms)}"
                    raise problem_at(("gates", str(number)), message)
        return self

    @model_validator(mode="after")
    def _penalties_subtract(self) -> Self:
        for name, term in self.terms.items():
            if term.is_diagnostic and self.weight(name) != 0:
                raise problem_at(("weights", name), f"{name!r} is logged and never paid: give it weight 0, or none")
            if term.is_fault and self.weight(name) > 0:
                raise problem_at(
                    ("weights", name) if self.weights else ("terms", name),
                    f"{name!r} measures a fault (0 is best), so its weight must be 0 or negative, "
                    f"not {self.weight(name):g}; e.g. weights: {{{name}: -0.2}}",
                )
        if all(self.weight(name) == 0 for name in self.terms):
            raise problem_at(("weights",), "all are 0, so the reward would always be 0")
        return self

    @model_validator(mode="after")
    def _aggregate_can_compose(self) -> Self:
        self.aggregate.check(self.weighed)
        return self

    @model_validator(mode="after")
    def _shape_has_single_rewards(self) -> Self:
        if self.shape is None:
            return self
        if self.aggregate.gives_advantages:
            raise problem_at(
                ("shape",),
                f"aggregate: {self.aggregate.kind} gives advantages, which are no rewards to shape; leave out one of "
                f"them",
            )
        if self.aggregate.needs_groups and isinstance(self.shape, AgainstBaselines):
            raise problem_at(
                ("shape",),
                f"aggregate: {self.aggregate.kind} says what a response is worth among others, and the starting "
                f"policy's "
                f"responses stood among others; use aggregate: {self.aggregate.instead}, or leave out the shape",
            )
        if self.paid_in_groups and isinstance(self.shape, AgainstBaselines):
            raise problem_at(
                ("shape",),
                f"term {self.paid_in_groups[0]!r} says what a response is worth among others, and the starting "
                "policy's responses stood among others; give it weight 0, or leave out the shape",
            )
        return self

    @model_validator(mode="after")
    def _credit_has_no_objection(self) -> Self:
        if self.credit is not None:
            centring = self.aggregate.kind if self.reach is None else None
            objection = self.credit.objection(bool(self.text.extract), next(iter(self._answer_asking), None), centring)
            if objection is not None:
                raise problem_at(("credit",), objection)
        return self

    @model_validator(mode="after")
    def _guards_have_something_to_guard(self) -> Self:
        if self.guards and not any(term.guarded for term in self.terms.values()):
            kinds = [kind for kind, term in terms.KINDS.items() if term.guarded]
            raise problem_at(
                ("guards",),
                "guards take away from what likeness to a reference earns, and no term of this spec is one "
                f"({', '.join(kinds)})",
            )
        return self

    @model_validator(mode="after")
    def _encoder_gives_what_parts_need(self) -> Self:
        parts = [(("terms", name), name, term.needs(), term.remedy) for name, term in self.terms.items()]
        parts += [(("guards", name), name, guard.needs(), Term.remedy) for name, guard in self.guards.items()]
        for path, name, needs, remedy in parts:
            if needs.encoder and self.encoder is None:
                raise problem_at(path, f"{name!r} needs an encoder: add an `encoder:` section")
            if self.encoder is None:
                continue
            if needs.token_states and not self.encoder.gives.token_states:
                able = [kind for kind, section in encoders.KINDS.items() if section.gives.token_states]
                message = f"needs token states, so an encoder of kind {' or '.join(able)}, not {self.encoder.kind}"
                raise problem_at(path, f"{name!r} {message}")
            if needs.tokens and not self.encoder.gives.tokens:
                message = f"counts tokens, but {self.encoder.called} tells none; {remedy}"
                raise problem_at(path, f"{name!r} {message}")
        return self

    @model_validator(mode="after")
    def _answers_stand_in_tags(self) -> Self:
        for name, term in self.terms.items():
            if self.text.extract and term.needs().answer_place:
                raise problem_at(
                    ("terms", name),
                    f"{name!r} asks where the policy's own answer begins, and text.extract finds answers that have no "
                    "such place; use text.answer_tag",
                )
        return self

    @model_validator(mode="after")
    def _references_are_asked_about_as_they_are(self) -> Self:
        if not self.text.lowercase and self.text.unicode != "NFKC":
            return self
        changed = "lowercase: true" if self.text.lowercase else "unicode: NFKC"
        for name in (*self.policy_terms, *self.scorer_terms):
            needs = self.terms[name].needs()
            if needs.references or needs.ground_truth:
                raise problem_at(
                    ("terms", name),
                    f"{name!r} asks how probable references are as they are written, and text.{changed} makes other "
                    "texts of them; leave that out",
                )
        return self

    def weight(self, name: str) -> float:
        """The weight of a term: 1 where the spec gives no weights at all, and 0 of what is logged only."""
        return self.weights.get(name, 0.0 if self.terms[name].is_diagnostic else 1.0)

    @property  # not cached: model_copy would take the cache along with other terms
    def weighed(self) -> Mapping[str, Weighed]:
        """The terms with their weights, as an aggregation sees them."""
        return {name: Weighed(term, self.weight(name)) for name, term in self.terms.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of rows, as dotted paths, that terms and their switches look at."""
        switches = {term.when.column for term in self.terms.values() if term.when is not None}
        return tuple(sorted(switches.union(*(term.needs().columns for term in self.terms.values()))))

    @property
    def grouped_terms(self) -> tuple[str, ...]:
        """The terms whose values depend on the other responses to the row's prompt."""
        return tuple(name for name, term in self.terms.items() if term.needs_groups)

    @property
    def policy_terms(self) -> Mapping[str, Weights]:
        """The terms that ask the policy that is trained, with which of its weights."""
        asked = {name: term.needs().policy for name, term in self.terms.items()}
        return {name: weights for name, weights in asked.items() if weights is not None}

    @property
    def _answer_asking(self) -> list[str]:
        """The terms that ask about the policy's own tokens, or about what may stand in the scored answer's place."""
        replaced = [name for name in self.scorer_terms if self.terms[name].needs().answer_place]
        return [*self.policy_terms, *replaced]

    @property
    def scorer_terms(self) -> tuple[str, ...]:
        """The terms that ask a causal language model which they name, in place of the policy."""
        return tuple(name for name, term in self.terms.items() if term.needs().scorer is not None)

    @property
    def paid_in_groups(self) -> tuple[str, ...]:
        """Those of them that count."""
        return tuple(name for name in self.grouped_terms if self.weight(name) != 0)

    @property
    def needs_groups(self) -> bool:
        """Whether a reward depends on the other responses to its prompt."""
        return self.aggregate.needs_groups or bool(self.grouped_terms)

    @property
    def reach(self) -> tuple[float, float] | None:
        """The least and the greatest reward; None for advantages."""
        reach = self.aggregate.reach(self.weighed)
        return reach if reach is None or self.shape is None else self.shape.reach(*reach)

    def alone(self) -> RewardSpec:
        """What a response is worth by itself: without the others of its group, before any shape, as a whole."""
        terms = {name: term.alone() for name, term in self.terms.items()}
        return self.model_copy(
            update={"aggregate": self.aggregate.alone(), "terms": terms, "shape": None, "credit": None}
        )

    @property
    def unshaped_fingerprint(self) -> str:
        """sha256 of what makes the number that is shaped: without shape, credit, names and caches."""
        content = self.model_dump_json(exclude={"shape", "credit", "name", "description", "cache_mb", "disk_cache"})
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """sha256 of the canonical spec, for provenance."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def _no_reward(name: str) -> str:
    """Why a kind of credit is no term, as the end of a sentence; empty for what is none."""
    plain = name.lower().replace("-", "_")
    for kind, section in credit.KINDS.items():
        if plain in (kind, *getattr(section, "others_say", ())) and section.no_reward:
            return f" but of credit (write `credit: {kind}` beside the terms): {section.no_reward}"
    return ""


def _named(sections: Any, field: str, part: str, kinds: Kinds[Any]) -> Any:
    """The sections of named parts, each with its kind, which is its name unless it is given."""
    if not isinstance(sections, dict):
        return sections
    named = {}
    for name, body in sections.items():
        if name in RESERVED or not re.fullmatch(r"[A-Za-z][\w.-]*", str(name)):
            why = "a column of the output" if name in RESERVED else "not made of letters, digits, '_', '.', '-'"
            raise problem_at((field, str(name)), f"{name!r} is {why}; give the {part} another name")
        body = {} if body is None else body
        if isinstance(body, dict) and "kind" not in body:
            if name not in kinds:
                raise problem_at(
                    (field, str(name)),
                    f"{name!r} is no kind of {part}{_no_reward(str(name)) or kinds.instead_of(str(name))}; "
                    f"to use a name of your own add `kind:` (one of {', '.join(kinds)}){kinds.why_broken(str(name))}",
                )
            body = {"kind": name, **body}
        named[name] = body
    return named
