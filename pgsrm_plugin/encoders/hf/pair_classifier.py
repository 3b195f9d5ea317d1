"""Frozen sequence classifiers of transformers, run as the ``hf`` encoder is: packed on a CPU where they can be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from pgsrm_plugin.encoders.classifier import PairClassifierSpec
from pgsrm_plugin.encoders.hf.beside_trainer import auto_device, loaded_whole
from pgsrm_plugin.encoders.hf.cpu.engine import fill, pack
from pgsrm_plugin.encoders.hf.cpu.linear import ROWS
from pgsrm_plugin.encoders.hf.cpu.packed import KEYS, PackedNetwork, can_pack
from pgsrm_plugin.encoders.hf.cpu.threads import submit
from pgsrm_plugin.encoders.hf.load import ModelSource, find_model, positions_of, quiet
from pgsrm_plugin.errors import ScorerError, SpecError

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.3, "float16": 0.05}
"""Largest difference of a logit between this engine and a padded batch of transformers."""

_PAIRS = (
    ("Two dogs run.", "Animals move."),
    ("The price rises.", "It falls, and nobody knows why it does; a long sentence goes beside a short one here."),
    (".", "Grüße aus 東京"),
)


class ReadPair(NamedTuple):
    """A pair as the model reads it: token ids, the segment of each (empty where it knows none), whether it was cut."""

    ids: list[int]
    segments: list[int]
    cut: bool


class PairClassifier:
    """Gives the logits of pairs of texts.

    On a CPU nothing is padded, and a pair has the same bits in any company within one process: BERT, RoBERTa, XLM-R
    and MPNet run on prepacked weights with the engine of the ``hf`` encoder, other models pair by pair, each worker
    with one core. On a GPU pairs run in length-sorted batches of at most ``batch_tokens`` padded tokens, those of a
    causal model with pairs of their length alone; there the last bits can depend on the batch.

    It is not a ``torch.nn.Module``, so a module that holds it neither trains, moves nor saves it.

    Attributes:
        labels: the names of the outputs, in their order.
        max_tokens: where pairs are cut; None: nowhere.

    Raises:
        SpecError: the model cannot be found or loaded, or has no trained classifier; or ``max_tokens`` or ``threads``
            do not fit it.
        ScorerError: the model fails its self-test.
    """

    called: ClassVar[str] = "classifier"
    untrained: ClassVar[str] = "take one that was trained as a classifier"
    """What messages advise where a model has no trained classifier."""

    def __init__(self, spec: PairClassifierSpec) -> None:
        self._lock = threading.Lock()
        self._spec = spec
        self.source = find_model(spec.model, spec.revision, key="model", organisation=None)
        device = spec.device if spec.device not in (None, "auto") else auto_device()
        self._device = torch.device(str(device))
        if spec.threads is not None and self._device.type != "cpu":
            raise SpecError(f"threads: the {self.called} is on {self._device}; threads are for device: cpu")
        config, places = _config(self.source, spec)
        # By number: where a config names no labels, transformers counts two.
        self.labels = [str(config.id2label[i]) for i in range(config.num_labels)]
        self._check_labels()
        self._model, self._tokenizer = _load(self.source, spec, config, places, self._device, self.untrained)
        self._causal = hasattr(self._model, "score")
        if self._causal and self._model.config.pad_token_id is None:
            # Nothing is padded; transformers refuses a batch without one, and looks for the last token that is none.
            self._model.config.pad_token_id = -1
        self.max_tokens = _max_tokens(self._model, self._tokenizer, spec)
        self.identity = f"{self.called}:{self.source.name};max_tokens={self.max_tokens};dtype={spec.dtype}"
        self._workers = spec.threads or torch.get_num_threads()
        self._packed: PackedNetwork | None = None
        head = _head(self._model)
        if self._device.type == "cpu" and head is not None and can_pack(self._model.base_model):
            self._packed = submit(self._workers, pack, self._model.base_model, spec.batch_tokens).result()
        self._head = head
        self._self_test()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.identity!r}, device={str(self._device)!r})"

    @property
    def packed(self) -> bool:
        """Whether the model runs on prepacked weights."""
        return self._packed is not None

    def logits(self, pairs: Sequence[tuple[str, ...]]) -> tuple[torch.Tensor, list[bool]]:
        """The (N, L) float64 logits of N pairs, in order, and whether each pair was cut.

        Raises:
            ScorerError: the device is out of memory.
        """
        logits_NL = torch.zeros(len(pairs), len(self.labels), dtype=torch.float64)
        if not pairs:
            return logits_NL, []
        with self._lock:
            read = self._read(pairs)
            for rows, logits_ML in self._run(read):
                logits_NL[rows] = logits_ML
        return logits_NL, [one.cut for one in read]

    def _check_labels(self) -> None:
        """Refuses outputs that are of no use, before the weights are loaded."""

    def _read(self, pairs: Sequence[tuple[str, ...]]) -> list[ReadPair]:
        """Tokenises the pairs, all in one call, and the too long ones a second time, the longer text cut first."""
        whole = self._tokenize(pairs, truncation=False)
        limit = self.max_tokens
        long = [] if limit is None else [i for i, pair in enumerate(whole) if len(pair.ids) > limit]
        if long:
            short = self._tokenize([pairs[i] for i in long], truncation="longest_first", max_length=limit)
            for i, pair in zip(long, short, strict=True):
                whole[i] = pair._replace(cut=True)
        return whole

    def _tokenize(self, pairs: Sequence[tuple[str, ...]], **settings: Any) -> list[ReadPair]:
        premises, hypotheses = [premise for premise, _ in pairs], [hypothesis for _, hypothesis in pairs]
        read = self._tokenizer(premises, hypotheses, padding=False, verbose=False, **settings)
        segments = read.get("token_type_ids") if self._has_segments else None
        return [
            ReadPair(list(ids), list(segments[i]) if segments else [], False) for i, ids in enumerate(read["input_ids"])
        ]

    @property
    def _has_segments(self) -> bool:
        types = getattr(self._model.config, "type_vocab_size", 0) or 0
        return types > 1 and "token_type_ids" in self._tokenizer.model_input_names

    def _run(self, read: Sequence[ReadPair]) -> list[tuple[list[int], torch.Tensor]]:
        """Rows, and their logits (M, L) float64."""
        if self._device.type == "cpu":
            return self._run_on_workers(read)
        return [(rows, self._batch([read[row] for row in rows])) for rows in self._batches(read)]

    def _run_on_workers(self, read: Sequence[ReadPair]) -> list[tuple[list[int], torch.Tensor]]:
        lengths = [len(pair.ids) for pair in read]
        largest = self._packed.largest if self._packed is not None else min(self._spec.batch_tokens, ROWS[-1])
        share = sum(lengths) // (2 * self._workers)
        budget = max((size for size in ROWS if size <= min(share, largest)), default=ROWS[0])
        passes = list(fill(lengths, budget - KEYS + 1))
        work = [submit(self._workers, self._pass, [read[row] for row in rows]) for rows in passes]
        return [(rows, one.result()) for rows, one in zip(passes, work, strict=True)]

    def _pass(self, read: Sequence[ReadPair]) -> torch.Tensor:
        if self._packed is None or self._head is None:
            return torch.cat([self._forward(_padded([pair], 0, "right")) for pair in read])
        ids = [torch.tensor(pair.ids) for pair in read]
        segments = [torch.tensor(pair.segments) for pair in read] if self._has_segments else None
        states = self._packed(ids, segments)
        return torch.cat([self._head(state_TD[None]) for state_TD in states]).double()

    def _batches(self, read: Sequence[ReadPair]) -> list[list[int]]:
        """Rows in batches of like length, within the token budget (a single pair may exceed it)."""
        batches: list[list[int]] = [[]]
        for row in sorted(range(len(read)), key=lambda row: len(read[row].ids)):
            length = len(read[row].ids)
            longer = bool(batches[-1]) and self._causal and length > len(read[batches[-1][0]].ids)
            if longer or (batches[-1] and (len(batches[-1]) + 1) * length > self._spec.batch_tokens):
                batches.append([])
            batches[-1].append(row)
        return batches

    def _batch(self, read: Sequence[ReadPair]) -> torch.Tensor:
        tokenizer = self._tokenizer
        try:
            return self._forward(_padded(read, tokenizer.pad_token_id or 0, tokenizer.padding_side))
        except torch.OutOfMemoryError as error:
            raise ScorerError(
                f"{self.identity} ran out of memory on {self._device} with {len(read)} pairs in a "
                f"forward pass; lower its batch_tokens (now {self._spec.batch_tokens})"
            ) from error

    def _forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
            logits_ML: torch.Tensor = self._model(**{k: v.to(self._device) for k, v in inputs.items()}).logits
            return logits_ML.double().cpu()

    def _self_test(self) -> None:
        found, _ = self.logits(_PAIRS)
        read = self._read(_PAIRS)
        together = [[row] for row in range(len(read))] if self._causal else [list(range(len(read)))]
        expected = torch.cat([self._batch([read[row] for row in rows]) for rows in together])
        worst = float((found - expected).abs().max())
        if not worst <= TOLERANCE[self._spec.dtype]:
            raise ScorerError(
                f"{self.identity} failed its self-test: its logits differ by {worst:.2e} from those of a padded batch "
                f"(tolerance {TOLERANCE[self._spec.dtype]:.0e}); its weights are broken, or not finite"
            )


def _config(source: ModelSource, spec: PairClassifierSpec) -> tuple[Any, dict[str, Any]]:
    """The model's config, and how it is loaded."""
    places = {"revision": source.revision, "local_files_only": source.offline or source.revision is None}
    try:
        with quiet():
            return AutoConfig.from_pretrained(source.location, trust_remote_code=False, **places), places
    except Exception as error:
        raise SpecError(f"model {spec.model!r} has no config that transformers knows: {_said(error)}") from error


def _load(
    source: ModelSource,
    spec: PairClassifierSpec,
    config: Any,
    places: dict[str, Any],
    device: torch.device,
    untrained: str,
) -> tuple[Any, Any]:
    """The frozen model and its tokenizer."""
    try:
        with quiet(), loaded_whole():
            tokenizer = AutoTokenizer.from_pretrained(source.location, trust_remote_code=False, **places)
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                source.location,
                config=config,
                dtype=getattr(torch, spec.dtype),
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                **places,
            )
            model = model.to(device)
    except Exception as error:
        raise SpecError(f"model {spec.model!r} cannot be loaded by transformers on {device}: {_said(error)}") from error
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:3])
        raise SpecError(f"model: {spec.model} has no trained classifier ({missing} missing), {untrained}")
    model.requires_grad_(False)
    return model.eval(), tokenizer


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:400]}"


def _max_tokens(model: Any, tokenizer: Any, spec: PairClassifierSpec) -> int | None:
    limit = positions_of(model.base_model)
    if spec.max_tokens is not None and limit is not None and spec.max_tokens > limit:
        raise SpecError(f"max_tokens: {spec.max_tokens} is more than the {limit} positions of {spec.model}")
    own = tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else None
    return spec.max_tokens or min((n for n in (own, limit) if n is not None), default=None)


def _head(model: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """What turns last states (1, T, D) into logits (1, L), for models that :class:`PackedNetwork` can run."""
    kind = type(model).__name__
    if kind == "BertForSequenceClassification" and model.bert.pooler is not None:
        return lambda states: model.classifier(model.bert.pooler(states))
    if kind in (
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
        "MPNetForSequenceClassification",
    ):
        return lambda states: model.classifier(states)
    return None


def _padded(read: Sequence[ReadPair], filler: int, side: str) -> dict[str, torch.Tensor]:
    def pad(rows: Sequence[list[int]], value: int) -> torch.Tensor:
        return pad_sequence(
            [torch.tensor(row) for row in rows], batch_first=True, padding_value=value, padding_side=side
        )

    inputs = {
        "input_ids": pad([pair.ids for pair in read], filler),
        "attention_mask": pad([[1] * len(pair.ids) for pair in read], 0),
    }
    if read[0].segments:
        inputs["token_type_ids"] = pad([pair.segments for pair in read], 0)
    return inputs
