"""The states of a causal language model behind a template, run text by text on a CPU, in batches elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModel, AutoTokenizer

from pgsrm_plugin.encoders.causal import PLACE, CausalEncoderSpec
from pgsrm_plugin.encoders.hf.cpu.engine import fill
from pgsrm_plugin.encoders.hf.cpu.threads import submit
from pgsrm_plugin.encoders.hf.load import find_model, positions_of, quiet
from pgsrm_plugin.encoders.hf.pieces import pieces_of
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.types import Embeddings

TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest difference of a coordinate, relative to the vector's length, between one text and a padded batch."""
_PASS_TOKENS = 2048
_TEXTS = ("red", ".", "The quick brown fox jumps over the lazy dog, twice; then it rests.", "Grüße aus 東京")


class CausalEncoder:
    """A frozen causal language model that reads ``template`` with the text in it.

    The vector is the last hidden state (after the last norm) of the last token, or the mean over all tokens, float32.
    A longer text is cut at ``max_tokens`` of its own tokens before it is put into the template, so what asks for its
    sense is always whole. On a CPU each text runs by itself, on one core, and has the same bits in any company; on a
    GPU texts run in length-sorted batches, padded on the right, where a causal model does not see the padding.

    It is not a ``torch.nn.Module``, so a module that holds it neither trains, moves nor saves it.

    Raises:
        SpecError: the model cannot be found or loaded, looks ahead (an encoder: use ``kind: hf``), has a slow
            tokenizer, or has no room for ``max_tokens`` and the template.
        ScorerError: the model fails its self-test.
    """

    def __init__(self, spec: CausalEncoderSpec) -> None:
        self._lock = threading.Lock()
        self._spec = spec
        device = spec.device if spec.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
        self._device = torch.device(device)
        if spec.threads is not None and self._device.type != "cpu":
            raise SpecError(f"encoder.threads: the encoder is on {self._device}; threads are for device: cpu")
        source = find_model(spec.model, spec.revision, organisation=None)
        places = {"revision": source.revision, "local_files_only": source.offline or source.revision is None}
        self._model, self._tokenizer = _load(spec, source.location, places, self._device)
        self.vocabulary = pieces_of(self._tokenizer)
        self._before, self._after = spec.template.split(PLACE)
        self._check_room()
        self._workers = spec.threads or torch.get_num_threads()
        self.identity = (
            f"causal:{source.name};max_tokens={spec.max_tokens};pooling={spec.pooling};dtype={spec.dtype};"
            f"template={spec.template!r}"
        )
        self._self_test()

    def __repr__(self) -> str:
        return f"CausalEncoder({self.identity!r}, device={str(self._device)!r})"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._model.config.get_text_config().hidden_size)

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """One vector a text, in order. ``tokens_N`` counts the text alone; one without a token is unknown.

        Raises:
            ScorerError: the device is out of memory.
        """
        with self._lock:
            read, tokens, cut, unknown = self._read(texts)
            vectors_ND = torch.zeros(len(texts), self.dimensions)
            rows = [row for row in range(len(texts)) if not unknown[row]]
            for part, vectors_MD in self._run([read[row] for row in rows]):
                vectors_ND[[rows[i] for i in part]] = vectors_MD
        return Embeddings(
            vectors_ND,
            torch.tensor(tokens, dtype=torch.int64),
            torch.tensor(cut, dtype=torch.bool),
            torch.tensor(unknown, dtype=torch.bool),
        )

    def _read(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int], list[bool], list[bool]]:
        """The ids of each text inside the template; tokens of the text alone, whether it was cut, whether unknown."""
        if not texts:
            return [], [], [], []
        settings: dict[str, Any] = {"add_special_tokens": False, "verbose": False, "return_attention_mask": False}
        alone = self._tokenizer(list(texts), return_offsets_mapping=True, **settings)
        limit = self._spec.max_tokens
        tokens = [len(ids) for ids in alone["input_ids"]]
        cut = [count > limit for count in tokens]
        places = zip(alone["offset_mapping"], cut, strict=True)
        ends = [offsets[limit - 1][1] if long else None for offsets, long in places]
        whole = [f"{self._before}{text[:end]}{self._after}" for text, end in zip(texts, ends, strict=True)]
        read: list[list[int]] = self._tokenizer(whole, verbose=False)["input_ids"]
        nothing = self._tokenizer.unk_token_id
        unknown = [all(token == nothing for token in ids) for ids in alone["input_ids"]]
        return read, tokens, cut, unknown

    def _run(self, read: Sequence[list[int]]) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Rows, and their vectors (M, D) float32."""
        lengths = [len(ids) for ids in read]
        if self._device.type == "cpu":
            share = max(1, sum(lengths) // (2 * self._workers))
            passes = list(fill(lengths, min(share, _PASS_TOKENS, self._spec.batch_tokens)))
            work = [submit(self._workers, self._each, [read[row] for row in rows]) for rows in passes]
            yield from ((rows, one.result()) for rows, one in zip(passes, work, strict=True))
            return
        batch: list[int] = []
        for row in sorted(range(len(read)), key=lambda row: lengths[row]):
            if batch and (len(batch) + 1) * lengths[row] > self._spec.batch_tokens:
                yield batch, self._batch([read[i] for i in batch])
                batch = []
            batch.append(row)
        if batch:
            yield batch, self._batch([read[i] for i in batch])

    def _each(self, read: Sequence[list[int]]) -> torch.Tensor:
        return torch.cat([self._batch([ids]) for ids in read])

    def _batch(self, read: Sequence[list[int]]) -> torch.Tensor:
        rows = [torch.tensor(ids) for ids in read]
        mask_MT = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(self._device)
        ids_MT = pad_sequence(rows, batch_first=True).to(self._device)
        try:
            with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
                outputs = self._model(input_ids=ids_MT, attention_mask=mask_MT, use_cache=False)
                states_MTD = outputs.last_hidden_state.float()
                if self._spec.pooling == "mean":
                    vectors_MD = (states_MTD * mask_MT[..., None]).sum(1) / mask_MT.sum(1, keepdim=True)
                else:
                    vectors_MD = states_MTD[torch.arange(len(rows), device=self._device), mask_MT.sum(1) - 1]
                return torch.Tensor(vectors_MD.cpu())
        except torch.OutOfMemoryError as error:
            raise ScorerError(
                f"encoder {self.identity} ran out of memory on {self._device} with {len(rows)} texts in a forward "
                f"pass; lower encoder.batch_tokens (now {self._spec.batch_tokens})"
            ) from error

    def _check_room(self) -> None:
        if not self._tokenizer.is_fast:
            raise SpecError(f"encoder.model: {self._spec.model} has a slow tokenizer, which tells no places of tokens")
        taken, limit = len(self._tokenizer(self._before + self._after)["input_ids"]), positions_of(self._model)
        # A token at each border may become two beside a text.
        if limit is not None and taken + 2 + self._spec.max_tokens > limit:
            raise SpecError(
                f"encoder.max_tokens: {self._spec.max_tokens} and the template's {taken} tokens are more than the "
                f"{limit} positions of {self._spec.model}; write at most {limit - taken - 2}"
            )

    def _self_test(self) -> None:
        read = self._read(_TEXTS)[0]
        alone_ND, together_ND = self._each(read), self._batch(read)
        if not bool(torch.isfinite(alone_ND).all()):
            raise ScorerError(f"encoder {self.identity} returns vectors that are not finite; its weights are broken")
        length_N1 = alone_ND.norm(dim=1, keepdim=True).clamp_min(1e-12)
        worst = float(((alone_ND - together_ND) / length_N1).abs().max())
        if not worst <= TOLERANCE[self._spec.dtype]:
            raise ScorerError(
                f"encoder {self.identity} failed its self-test: a text's vector differs by {worst:.2e} beside padding "
                f"(tolerance {TOLERANCE[self._spec.dtype]:.0e})"
            )


def _load(spec: CausalEncoderSpec, location: str, places: dict[str, Any], device: torch.device) -> tuple[Any, Any]:
    """The frozen model without its output layer, and its tokenizer."""
    try:
        with quiet():
            config = AutoConfig.from_pretrained(location, trust_remote_code=False, **places)
            tokenizer = AutoTokenizer.from_pretrained(location, trust_remote_code=False, **places)
            model, loading = AutoModel.from_pretrained(
                location,
                config=config,
                dtype=getattr(torch, spec.dtype),
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                **places,
            )
            model = model.requires_grad_(False).eval().to(device)
    except Exception as error:  # whatever transformers raises
        raise SpecError(
            f"encoder.model {spec.model!r} cannot be loaded by transformers on {device}: "
            f"{type(error).__name__}: {str(error)[:400]}"
        ) from error
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:3])
        raise SpecError(f"encoder.model: {spec.model} lacks weights ({missing})")
    if not _is_causal(model, spec.dtype, device):
        raise SpecError(
            f"encoder.model: {spec.model} looks ahead, so it is no causal language model; take one, or use kind: hf, "
            "which pools as an encoder's files say"
        )
    return model, tokenizer


def _is_causal(model: Any, dtype: str, device: torch.device) -> bool:
    """Whether a token's state is the same whatever follows."""
    if model.config.is_encoder_decoder:
        return False
    ids_1T = torch.tensor([[1, 2, 3, 4]], device=device) % int(model.config.get_text_config().vocab_size)
    with torch.no_grad():
        short_1TD, long_1TD = (model(input_ids=ids).last_hidden_state.float() for ids in (ids_1T[:, :2], ids_1T))
    apart = (short_1TD - long_1TD[:, :2]).abs().max()
    # What is not finite is for the self-test.
    return not bool(apart > TOLERANCE[dtype] * long_1TD.abs().max())
