"""SemanticReward: the only composer of a reward."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from typing_extensions import Self

from pgsrm_plugin.aggregates import ScoredRows, Sum
from pgsrm_plugin.asking.models import OwnModelSection
from pgsrm_plugin.credit.altered import CreditOutput, credit_of
from pgsrm_plugin.credit.base import TextCredit
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.encoders.cache.embedder import BatchEmbedder
from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.encoders.classifier import PairClassifierSpec
from pgsrm_plugin.encoders.vocabulary import advice, vocabulary_of
from pgsrm_plugin.errors import DataError, ScorerError, SpecError, UnscorableError
from pgsrm_plugin.guards.apply import guarded, logged, look, words_of
from pgsrm_plugin.guards.base import NONE, Violation
from pgsrm_plugin.own_models import OwnModels, asked_stats
from pgsrm_plugin.policy.asked_policy import AskedPolicy, BoundReader
from pgsrm_plugin.policy.base import WHERE, PolicyScorer
from pgsrm_plugin.shapes.baselines import Baseline
from pgsrm_plugin.spec import RewardSpec, load_spec
from pgsrm_plugin.terms import Term
from pgsrm_plugin.text.batch import PreparedBatch, prepare
from pgsrm_plugin.text.clean import normalise_space
from pgsrm_plugin.text.hints import hints
from pgsrm_plugin.types import (
    GUARD,
    Encoder,
    NamedModel,
    RewardOutput,
    RewardSample,
    Row,
    ScoredText,
    ground_truths,
)
from pgsrm_plugin.validate import (
    check_known,
    check_samples,
    never_on,
    read_baselines,
    refuse_unread,
    row_key,
    row_label,
)

ON = "on/"
"""Before a term's name, in the diagnostics: 1 where a term that has a switch (``when``) counts, else 0."""
DECLINED = "declined/"
"""Before a term's name, in the diagnostics: 1 where the term could not score the row, else 0."""
REASONING = "reasoning_chars"
"""In the diagnostics, where a term asks the policy: characters before the answer, all where there is none."""
_MANY = 3
"""Responses, of which what they have in common is no chance."""
_logger = logging.getLogger(__name__)


class SemanticReward:
    r"""Scores batches of responses as a spec says.

    With terms :math:`t_k` of weight :math:`w_k`, the reward of row :math:`i` is

    .. math:: r_i = \sum_k w_k \, \tilde t_{k,i}

    where :math:`\tilde t_{k,i}` is the term's raw value :math:`t_{k,i}`, or its worst value where the row is
    unscorable (``unscorable: floor``) or fails a gate that does not keep the term. A term that a row switches off
    (``when``) is no part of that row's reward, and 0 in its columns. Instead of the sum, the spec's
    ``aggregate`` may compose them in another way (:mod:`pgsrm_plugin.aggregates`), and its ``shape`` make something of
    the result by what the starting policy earned (:mod:`pgsrm_plugin.shapes`).

    The same text gets the bit-identical reward within a batch, and a permuted batch the permuted rewards: distinct rows
    are scored once, distinct texts are embedded once, in sorted order.

    Args:
        spec: the reward.
        encoder: used instead of building the one that the spec describes.
        models: used instead of building those of the spec's parts, by their sections as they are placed.

    Raises:
        SpecError: the spec's encoder or a part's model cannot be built, a calibration floor is another encoder's, or
            the starting policy's rewards cannot be read or are another spec's.
        ScorerError: the encoder or a model fails its self-test.
    """

    def __init__(
        self,
        spec: RewardSpec,
        encoder: Encoder | None = None,
        models: Mapping[OwnModelSection, NamedModel] = MappingProxyType({}),
    ) -> None:
        if not isinstance(spec, RewardSpec):
            raise SpecError(f"SemanticReward takes a RewardSpec, not {spec!r}; for a file use SemanticReward.from_file")
        self.spec = spec
        if encoder is None and spec.encoder is not None:
            encoder = spec.encoder.build()
        self.encoder = encoder
        _check_encoder(spec, encoder)
        _check_gates(spec)
        self._cached = CachedEncoder(encoder, spec.cache_mb, spec.disk_cache) if encoder is not None else None
        needs = [(name, term.needs()) for name, term in spec.terms.items()]
        needs += [(name, guard.needs()) for name, guard in spec.guards.items()]
        self._reads_prompts = any(need.prompts for _, need in needs)
        self._embeds = any(need.encoder for _, need in needs)
        self._needs_states = any(need.token_states for _, need in needs)
        self._own = OwnModels.of(spec, models)
        self._baselines = read_baselines(spec)
        self._switches = [name for name, term in spec.terms.items() if term.when is not None]
        self._said: set[str] = set()
        self._phi: SemanticReward | None = None
        self._texts = {text: name for name, need in needs for text in need.texts}

    @property
    def models(self) -> Mapping[OwnModelSection, NamedModel]:
        """Those that parts of the spec ask, by their sections as they are placed."""
        return self._own.placed

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Builds the reward that a spec file describes; see :func:`~pgsrm_plugin.spec.load_spec`."""
        return cls(load_spec(path))

    def check_references(
        self,
        samples: Sequence[RewardSample],
        label: Callable[[int], str] = row_label,
        policy: PolicyScorer | None = None,
    ) -> None:
        """Refuses rows, before training, that cannot be scored or whose references the encoder hardly knows.

        Args:
            policy: what encodes references, for terms that ask it.

        Raises:
            DataError: a row lacks what a term needs, a reference is too long for a term, or the encoder does not know
                most words of a reference (which :meth:`score` refuses only where it knows none).
        """
        batch, vocabulary = check_samples(samples, self.spec, label), vocabulary_of(self.encoder)
        for sentence in never_on(batch, self.spec):
            _logger.warning(sentence)
        asked = None if policy is None or not self.spec.policy_terms else AskedPolicy(policy)
        self._advise(batch, self._own.readers(asked, self.spec.text))
        if self._embeds and self.encoder is not None:
            check_known(batch, vocabulary, self.encoder.identity, label)

    def with_spec(self, spec: RewardSpec, encoder: Callable[[EncoderSection], Encoder] = EncoderSection.build) -> Self:
        """The reward of another spec, with this one's encoder and models where both have the same sections."""
        if spec.encoder is None or spec.encoder == self.spec.encoder:
            return type(self)(spec, self.encoder if spec.encoder is not None else None, self.models)
        return type(self)(spec, encoder(spec.encoder), self.models)

    def score(
        self,
        samples: Sequence[RewardSample],
        label: Callable[[int], str] = row_label,
        policy: PolicyScorer | None = None,
    ) -> RewardOutput:
        """Scores a batch; an empty batch gives an empty output.

        Args:
            label: how a row is called in messages.
            policy: that wrote the responses, for terms that ask it; the samples have their ``tokens`` then.

        Raises:
            DataError: a row lacks a field that a term needs, or has one of a wrong type; the message names both.
            UnscorableError: a response is unscorable and the spec says ``raise``.
            ScorerError: the encoder or a term failed. Nothing is scored then.
            SpecError: a term asks the policy, and there is none.
        """
        started = time.perf_counter()
        samples = list(samples)
        batch = check_samples(samples, self.spec, label)
        asked = None if not self.spec.policy_terms else self._asked_policy(samples, policy, label)
        readers = self._own.readers(asked, self.spec.text)
        self._advise(batch, readers)
        if len(samples) >= _MANY:
            self._say_hints(batch.rows)
        references = batch.references()
        prompts = batch.prompts() if self._reads_prompts else []
        texts = [*batch.responses(), *references, *prompts, *self._texts]
        embedder = BatchEmbedder(
            self._cached if self._embeds else None, texts, self._needs_states, references, self._own.asked, readers
        )
        self._check_references(batch, embedder, label)
        self._say_unknown(batch, embedder)
        unscorable = torch.tensor(
            [
                row.response.unscorable is not None or not embedder.has_representation(row.response.text)
                for row in batch.rows
            ],
            dtype=torch.bool,
        )
        unscorable_B = unscorable[batch.index_B]
        if self.spec.unscorable == "raise" and bool(unscorable_B.any()):
            raise _unscorable_error(unscorable_B, samples, label)

        on = self._switched(batch.rows)
        groups = [i if one.group is None else ("group", one.group) for i, one in enumerate(samples)]
        terms, declined, violations = self._term_values(batch, groups, unscorable, on, embedder)
        for declined_B in declined.values():
            unscorable_B = unscorable_B | declined_B
        if self.spec.unscorable == "raise" and bool(unscorable_B.any()):
            raise _unscorable_error(unscorable_B, samples, label)
        on_B = {name: counts[batch.index_B] for name, counts in on.items()}
        measured = _diagnose(batch, embedder, with_reasoning=bool(readers))
        diagnostics = {name: value[batch.index_B] for name, value in measured.items()}
        if any(section.asked == PairClassifierSpec.asked for section in self._own.asked):
            diagnostics["pair_truncated"] = _pair_truncated(batch.rows, embedder)[batch.index_B]
        diagnostics["unscorable"] = unscorable_B.double()
        diagnostics |= {f"{DECLINED}{name}": declined_B.double() for name, declined_B in declined.items()}
        for name in self.spec.guards:
            shares = [found.get(name, NONE).share for found in violations]
            diagnostics[f"{GUARD}{name}"] = torch.tensor(shares, dtype=torch.float64)[batch.index_B]
        diagnostics |= {f"{ON}{name}": on_B[name].double() for name in self._switches}
        effective, failed_B = self._apply_gates(terms, on_B)
        if self.spec.gates:
            diagnostics["gate_failed"] = (failed_B & ~unscorable_B).double()
        scored_B = ~unscorable_B if self.spec.unscorable == "mask" else torch.ones(len(samples), dtype=torch.bool)
        total_B, weighted, measures, worth_B = self._composed(effective, on_B, scored_B, [one.group for one in samples])
        diagnostics |= measures
        if self.spec.shape is not None:
            held = self._held_against(batch)
            diagnostics["unshaped"] = total_B
            if self._baselines is not None:
                means = [math.fsum(one.scores) / len(one.scores) for one in held if one is not None]
                diagnostics["baseline"] = torch.tensor(means, dtype=torch.float64)[batch.index_B]
            total_B = self._shaped(total_B, scored_B, [held[row] for row in batch.index_B.tolist()])
        stats = {
            "rows": float(len(samples)),
            "distinct_rows": float(len(batch.rows)),
            **embedder.stats,
            **asked_stats(readers),
            "seconds": time.perf_counter() - started,
        }
        if not bool(torch.isfinite(total_B).all()):
            raise ScorerError("a total that is not finite came out; lower the weights")
        words = [words_of(violations[i]) for i in batch.index_B.tolist()] if self.spec.guards else []
        return RewardOutput(total_B, terms, weighted, scored_B, diagnostics, stats, worth_B, words)

    def _asked_policy(
        self, samples: Sequence[RewardSample], policy: PolicyScorer | None, label: Callable[[int], str]
    ) -> AskedPolicy:
        first = next(iter(self.spec.policy_terms))
        if policy is None:
            raise SpecError(f"term {first!r} asks the policy itself, and here there are only its words; {WHERE}")
        for i, sample in enumerate(samples):
            if sample.tokens is None:
                raise DataError(f"{label(i)}: the policy's tokens are missing, and term {first!r} needs them")
        return AskedPolicy(policy)

    def _advise(self, batch: PreparedBatch, readers: Mapping[Hashable, BoundReader]) -> None:
        """Says once what terms have to say about references of such lengths, by the first batch that there is."""
        if "policy" in self._said or not readers:
            return
        self._said.add("policy")
        references = [reference.uncut for row in batch.rows for reference in row.references]
        truths = [truth for row in batch.rows for truth in row.ground_truths]
        for name, term in self.spec.terms.items():
            needs = term.needs()
            texts = truths if needs.ground_truth else references
            reader = readers.get(needs.policy if needs.scorer is None else needs.scorer)
            try:
                advice = None if reader is None else term.advise([len(reader.encode(text)) for text in texts])
            except DataError as error:
                raise DataError(f"term {name!r}: {error}") from None
            if advice is not None:
                _logger.warning(f"term {name!r}: {advice}")

    def credit(self, samples: Sequence[RewardSample]) -> CreditOutput:
        """What each segment of each response earned, by the spec's ``credit``: all altered texts are one batch.

        The value of an altered response is what it would earn by itself: the reward in which nothing depends on its
        group, before any shape, with all terms that count, gates and guards. One that cannot be scored, as one with
        nothing left, has the worst value of every term, whatever the spec's ``unscorable`` says. What stands around the
        scored part (thinking, tags) stays as it is.

        Args:
            samples: as they were scored; their embeddings are known from there.

        Raises:
            SpecError: the spec has no credit, or one that does not look at texts.
            DataError, ScorerError: as :meth:`score`.
        """
        if not isinstance(self.spec.credit, TextCredit):
            raise SpecError("the spec has no credit that is made of texts; give one as `credit`")
        return credit_of(self.spec.credit, samples, self.spec.text, self._by_itself().score)

    def _by_itself(self) -> SemanticReward:
        """What a response, or a part of it, is worth by itself; with this reward's encoder, models and caches."""
        if self._phi is None:
            spec = self.spec.alone()
            if spec.aggregate == Sum():
                gated = {name for gate in spec.gates for name in (gate.term, *gate.keep)}
                counted = [name for name in spec.terms if spec.weight(name) or name in gated]
                terms = {name: spec.terms[name] for name in counted}
                spec = spec.model_copy(update={"terms": terms, "weights": {name: spec.weight(name) for name in terms}})
            self._phi = type(self)(
                spec.model_copy(update={"unscorable": "floor", "disk_cache": None}), self.encoder, self.models
            )
            self._phi._cached, self._phi._said = self._cached, self._said
            own = self._phi._own.asked
            own.update({section: self._own.asked[section] for section in own})
        return self._phi

    def _held_against(self, batch: PreparedBatch) -> list[Baseline | None]:
        """What the starting policy earned, of each distinct row."""
        if self._baselines is None:
            return [None] * len(batch.rows)
        return [self._baselines.of(row_key(row, self.spec), row.prompt) for row in batch.rows]

    def _shaped(self, total_B: torch.Tensor, scored_B: torch.Tensor, held: Sequence[Baseline | None]) -> torch.Tensor:
        assert self.spec.shape is not None
        rows = zip(total_B.tolist(), scored_B.tolist(), held, strict=True)
        shaped = [self.spec.shape.shaped(total, one) if scored else 0.0 for total, scored, one in rows]
        return torch.tensor(shaped, dtype=torch.float64)

    def for_validation(self) -> Self:
        """The same reward of single responses: a validation prompt has one answer, which is a group of one.

        It is not shaped: that serves training, and asks for the starting policy's rewards.
        """
        alone = self.spec.alone()
        return self if alone == self.spec else self.with_spec(alone)

    def _say_hints(self, rows: Sequence[Row]) -> None:
        for kind, sentence in hints(rows, self.spec.text):
            if kind not in self._said:
                self._said.add(kind)
                _logger.warning(sentence)

    def _say_unknown(self, batch: PreparedBatch, embedder: BatchEmbedder) -> None:
        vocabulary = vocabulary_of(self.encoder)
        if vocabulary is None or "unknown words" in self._said:
            return
        texts = sorted({*batch.responses(), *batch.references()})
        found = [unread.words[0] for unread in map(embedder.unread, texts) if unread.words]
        if found:
            self._said.add("unknown words")
            share = sum(map(embedder.unknown_share, texts)) / len(texts)
            _logger.warning(
                f"{len(found)} of {len(texts)} distinct texts have words that the encoder does not know "
                f"({found[0][:40]!r}, for one), {share:.1%} of a text's words on average; they "
                f"are compared as words, letter by letter; {advice(vocabulary)}"
            )

    def worst(self, name: str) -> float:
        """The value of a term that lowers the reward most (by its nature, where its weight is 0)."""
        term, weight = self.spec.terms[name], self.spec.weight(name)
        low_is_worst = weight > 0 or (weight == 0 and not term.is_fault)
        return term.bounds[0] if low_is_worst else term.bounds[1]

    def _check_references(self, batch: PreparedBatch, embedder: BatchEmbedder, label: Callable[[int], str]) -> None:
        for text, name in self._texts.items():
            if not embedder.has_representation(text):
                remedy = self.spec.terms[name].remedy
                raise SpecError(f"{name}: the encoder has no representation of {text[:60]!r}; {remedy}")
        if self._embeds:
            assert self.encoder is not None
            refuse_unread(
                batch,
                embedder.unread,
                vocabulary_of(self.encoder),
                self.encoder.identity,
                label,
                prompts=self._reads_prompts,
            )

    def _term_values(
        self,
        batch: PreparedBatch,
        groups: Sequence[Hashable],
        unscorable: torch.Tensor,
        on: Mapping[str, torch.Tensor],
        embedder: BatchEmbedder,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], list[Mapping[str, Violation]]]:
        """Each term's value (B,), 0 where it is off; where each declined; what guards found in distinct rows."""
        rows, violations = self._guarded(batch.rows, unscorable, embedder)
        values, declined = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
        for name, term in self.spec.terms.items():
            counted = ~unscorable & on[name]
            if term.needs_groups:
                value_B = self._of_groups(name, term, rows, batch.index_B, groups, counted, embedder)
            else:
                value = torch.full((len(rows),), self.worst(name), dtype=torch.float64)
                scored = [row for row, counts in zip(rows, counted.tolist(), strict=True) if counts]
                value[counted] = _checked(name, term.score(scored, embedder), len(scored), term.bounds, term.declines)
                value_B = value[batch.index_B]
            if term.declines:
                declined[name] = value_B.isnan()
            values[name] = value_B
        # A row that one term cannot score is unscorable for all.
        gone_B = torch.zeros(len(batch.index_B), dtype=torch.bool)
        for declined_B in declined.values():
            gone_B |= declined_B
        for name in values:
            worst_B = values[name].masked_fill(gone_B, self.worst(name))
            values[name] = worst_B.masked_fill(~on[name][batch.index_B], 0.0)
        return values, declined, violations

    def _guarded(
        self, rows: Sequence[Row], unscorable: torch.Tensor, embedder: BatchEmbedder
    ) -> tuple[list[Row], list[Mapping[str, Violation]]]:
        """The rows with what guards leave of their likeness, and what each guard found."""
        scorable = [row for row, skip in zip(rows, unscorable.tolist(), strict=True) if not skip]
        violations: list[Mapping[str, Violation]] = [{}] * len(rows)
        compared = sum(bool(row.references) for row in scorable)
        if not self.spec.guards or not compared:
            return list(rows), violations
        found = look(scorable, self.spec.guards, embedder)
        guarded_rows = list(rows)
        fresh = guarded(scorable, found, self.spec.guards)
        for i, row in zip((~unscorable).nonzero().flatten().tolist(), fresh, strict=True):
            guarded_rows[i] = row
            violations[i] = logged(row, found) if row.references else {}
        for name in self.spec.guards:
            _checked(name, [one[name].share for one in violations if one], compared, (0.0, 1.0))
        return guarded_rows, violations

    def _of_groups(
        self,
        name: str,
        term: Term,
        rows: Sequence[Row],
        index_B: torch.Tensor,
        groups: Sequence[Hashable],
        counted: torch.Tensor,
        embedder: BatchEmbedder,
    ) -> torch.Tensor:
        """The values (B,) of a term that looks at groups; equal groups are scored once, each in an order of its own."""
        index, counts = index_B.tolist(), counted.tolist()
        members: dict[Hashable, list[int]] = {}
        for i, group in enumerate(groups):
            if counts[index[i]]:
                members.setdefault(group, []).append(i)
        ordered = [sorted(own, key=lambda i: _content(rows[index[i]])) for own in members.values()]
        keys = {tuple(index[i] for i in own) for own in ordered}
        distinct = sorted(keys, key=lambda key: [_content(rows[row]) for row in key])
        scored = term.score_groups([[rows[row] for row in key] for key in distinct], embedder)
        if [len(values) for values in scored] != [len(key) for key in distinct]:
            raise ScorerError(f"term {name!r} returned other numbers of values than there are rows in the groups")
        known = {
            key: _checked(name, values, len(key), term.bounds, term.declines)
            for key, values in zip(distinct, scored, strict=True)
        }
        value_B = torch.full((len(index),), self.worst(name), dtype=torch.float64)
        for own in ordered:
            value_B[own] = known[tuple(index[i] for i in own)]
        return value_B

    def _switched(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Of each term the rows on which it counts."""
        on = {name: torch.ones(len(rows), dtype=torch.bool) for name in self.spec.terms}
        return on | {
            name: torch.tensor([self.spec.terms[name].counts(row) for row in rows], dtype=torch.bool)
            for name in self._switches
        }

    def _apply_gates(
        self, terms: Mapping[str, torch.Tensor], on_B: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        effective = dict(terms)
        rows = len(next(iter(terms.values())))
        failed_any_B = torch.zeros(rows, dtype=torch.bool)
        for gate in self.spec.gates:
            low = -math.inf if gate.at_least is None else gate.at_least
            high = math.inf if gate.at_most is None else gate.at_most
            failed_B = on_B[gate.term] & ((terms[gate.term] < low) | (terms[gate.term] > high))
            failed_any_B |= failed_B
            for name in effective.keys() - set(gate.keep):
                effective[name] = effective[name].masked_fill(failed_B & on_B[name], self.worst(name))
        return effective, failed_any_B

    def _composed(
        self,
        effective: Mapping[str, torch.Tensor],
        on_B: Mapping[str, torch.Tensor],
        scored_B: torch.Tensor,
        groups: Sequence[Hashable],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor | None]:
        """Totals, parts and measures of the aggregation, and what rows are worth where totals are advantages."""
        scored_rows = scored_B.nonzero().flatten()

        def spread(column: Sequence[float]) -> torch.Tensor:
            column_B = torch.zeros(len(scored_B), dtype=torch.float64)
            column_B[scored_rows] = torch.tensor(column, dtype=torch.float64)
            return column_B

        values = {name: value_B[scored_rows].tolist() for name, value_B in effective.items()}
        ordered = {name: values[name] for name in self.spec.terms}
        own = [groups[row] for row in scored_rows.tolist()]
        off = {name: set((~on_B[name][scored_rows]).nonzero().flatten().tolist()) for name in self._switches}
        composed = self.spec.aggregate.compose(ScoredRows(self.spec.weighed, ordered, own, off))
        parts = {name: spread(composed.parts[name]) for name in effective}
        measures = {f"aggregate/{name}": spread(composed.measures[name]) for name in self.spec.aggregate.logs}
        worth_B = None if composed.worth is None else spread(composed.worth)
        return spread(composed.total), parts, measures, worth_B


@dataclass(frozen=True)
class RewardPair:
    """The rewards of training and of validation; the latter always with ``aggregate: sum``."""

    train: SemanticReward
    val: SemanticReward

    @classmethod
    def build(
        cls,
        train: RewardSpec,
        val: RewardSpec | None = None,
        encoder: Callable[[EncoderSection], Encoder] = EncoderSection.build,
    ) -> Self:
        """Both rewards; where their specs have the same ``encoder`` section, with one encoder.

        Args:
            train: the spec of training.
            val: the spec of validation; None: the same reward serves both.
            encoder: makes an encoder of a section, somewhere else than in this process, say.

        Raises:
            SpecError, ScorerError: as :class:`SemanticReward`.
        """
        first = SemanticReward(train, encoder(train.encoder) if train.encoder is not None else None)
        second = first if val is None else first.with_spec(val, encoder)
        return cls(first, second.for_validation())

    def of(self, validation: bool) -> SemanticReward:
        """The one that scores a row of validation, or of training."""
        return self.val if validation else self.train


def accuracy(output: RewardOutput, samples: Sequence[RewardSample], spec: RewardSpec) -> torch.Tensor:
    """Whether each response is right, (B,) float64 of 0 and 1.

    That is the value of the spec's term that judges answers (``verdict`` of :class:`~pgsrm_plugin.terms.base.Term`;
    extracted and compared answers go before exact matches, and a term that is on in a row before one that is not);
    without such a term, whether the scored part of the
    response equals the ground truth (or, without one, any reference), case and white space aside.

    Args:
        output: what ``spec`` gave for the samples.
        samples: of length B.
    """
    judges = [name for name, term in spec.terms.items() if term.verdict > 0]
    judges.sort(key=lambda name: spec.terms[name].verdict, reverse=True)
    right_B = torch.zeros(len(samples), dtype=torch.float64)
    open_B = torch.ones(len(samples), dtype=torch.bool)
    for name in judges:
        on_B = output.diagnostics[f"{ON}{name}"].bool() if spec.terms[name].when is not None else open_B
        right_B = torch.where(open_B & on_B, output.terms[name], right_B)
        open_B = open_B & ~on_B
    for row in open_B.nonzero().flatten().tolist():
        right_B[row] = float(_equals_target(samples[row], spec))
    return right_B


def _equals_target(sample: RewardSample, spec: RewardSpec) -> bool:
    targets = ground_truths(sample.ground_truth) or sample.references
    return _form(prepare(sample.response, spec.text).text) in map(_form, targets)


def _form(text: str) -> str:
    return normalise_space(text).casefold()


def _diagnose(batch: PreparedBatch, embedder: BatchEmbedder, with_reasoning: bool) -> dict[str, torch.Tensor]:
    def cut(text: ScoredText) -> bool:
        return text.truncated or (text.unscorable is None and embedder.truncated(text.text))

    columns: dict[str, list[bool] | list[int] | list[float]] = {
        "truncated": [cut(row.response) for row in batch.rows],
        "reference_truncated": [any(map(cut, row.references)) for row in batch.rows],
        "unknown_words": [embedder.unknown_share(row.response.text) for row in batch.rows],
        "reference_unknown_words": [max(map(embedder.unknown_share, row.targets), default=0.0) for row in batch.rows],
        "response_chars": [len(row.response.uncut) for row in batch.rows],
    }
    if with_reasoning:
        thought = [row.written for row in batch.rows if row.written is not None]
        columns[REASONING] = [len(one.text) if one.reasoning is None else one.reasoning for one in thought]
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in columns.items()}


def _pair_truncated(rows: Sequence[Row], embedder: BatchEmbedder) -> torch.Tensor:
    beside = [(row.response.text, (row.prompt, *row.targets)) for row in rows]
    cut = [any(embedder.pair_truncated(text, other) for other in others) for text, others in beside]
    return torch.tensor(cut, dtype=torch.float64)


def _content(row: Row) -> tuple[str, ...]:
    """What tells a row from another of its group."""
    tokens = () if row.written is None else (str(row.written.tokens),)
    return (row.prompt, row.response.text, row.raw, *row.targets, *row.ground_truths, *row.columns.values(), *tokens)


def _checked(
    name: str, values: Sequence[float | None], rows: int, bounds: tuple[float, float], declines: bool = False
) -> torch.Tensor:
    """The values of a term, (rows,) float64; NaN where it declined to give one, which it must say that it may."""
    low, high = bounds
    if len(values) != rows:
        raise ScorerError(f"term {name!r} returned {len(values)} values for {rows} rows")
    for value in values:
        if value is None and declines:
            continue
        if value is None or not (math.isfinite(value) and low - 1e-9 <= value <= high + 1e-9):
            raise ScorerError(f"term {name!r} returned {value}, outside its bounds [{low:g}, {high:g}]")
    given = [math.nan if value is None else value for value in values]
    return torch.tensor(given, dtype=torch.float64).clamp(low, high)


def _check_encoder(spec: RewardSpec, encoder: Encoder | None) -> None:
    for name, term in spec.terms.items():
        try:
            if encoder is not None:
                term.check_encoder(encoder.identity)
        except SpecError as error:
            raise SpecError(f"terms.{name}.{error}") from None


def _check_gates(spec: RewardSpec) -> None:
    for number, gate in enumerate(spec.gates):
        low, high = spec.terms[gate.term].bounds
        bound = gate.at_least if gate.at_least is not None else gate.at_most
        if bound is not None and not low <= bound <= high:
            raise SpecError(
                f"gates.{number}: {gate.term!r} is within [{low:g}, {high:g}], so {bound:g} decides nothing"
            )


def _unscorable_error(
    unscorable_B: torch.Tensor, samples: Sequence[RewardSample], label: Callable[[int], str]
) -> UnscorableError:
    row = int(unscorable_B.nonzero()[0])
    shown = samples[row].response[:60]
    return UnscorableError(
        f"{label(row)}: the response {shown!r} cannot be scored ({int(unscorable_B.sum())} of {len(samples)} rows); "
        "set unscorable: floor or mask to go on"
    )
