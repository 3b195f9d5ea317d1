"""A GGUF file as a folder that transformers loads: float32 safetensors, a tokenizer, and a word on what it is.

Made once, in the cache folder: ``$PGSRM_CACHE``, else ``pgsrm`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pgsrm_plugin.data.whole import TEMPORARY, sync_folder
from pgsrm_plugin.encoders.hf.offline import sha256_file
from pgsrm_plugin.errors import SpecError

ORIGIN = "pgsrm_origin"
"""The key of a model's config that says where its weights come from; it goes with every copy that is saved."""
LAYOUT = 1
"""Of what is written here; a folder of another layout is not taken."""
FLOAT32 = 4
BESIDE_WEIGHTS = 64 << 20
"""Bytes that a folder may need beyond its weights: tokenizer, configuration, the file system's own."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says about itself.

    Attributes:
        architecture: llama.cpp's name for it (``llama``, ``qwen2``).
        quantisation: the tensor type that holds the most weights, as GGUF spells it.
        parameters: how many numbers its tensors have.
        context: the longest sequence it was made for.
        pre_tokenizer: llama.cpp's name for how text is split before BPE.
        end, pad: token ids.
    """

    architecture: str
    quantisation: str
    parameters: int
    context: int | None
    pre_tokenizer: str | None
    end: int | None
    pad: int | None


def cache_folder() -> Path:
    """Where converted models are kept."""
    own, general = os.environ.get("PGSRM_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own).expanduser() if own else (Path(general) if general else Path.home() / ".cache") / "pgsrm"


def as_folder(file: Path, title: str, sha256: str | None = None, architectures: frozenset[str] | None = None) -> Path:
    """The folder that a GGUF file becomes, made at the first call.

    Args:
        title: what the file holds, as reports name it.
        sha256: the file's digest, where the caller has checked it.
        architectures: those that are taken; None: all that transformers reads.

    Raises:
        SpecError: the file is no GGUF, of an architecture that is not taken, or damaged; the package ``gguf`` is
            missing; the disk has no room. Nothing half-written is left behind.
    """
    if find_spec("gguf") is None:
        raise SpecError(f"{title}: reading {file.name} needs the package gguf; run `pip install 'pgsrm-plugin[real]'`")
    digest = sha256 or sha256_file(file)
    folder = cache_folder() / "models" / f"{file.stem}-{digest[:12]}-{LAYOUT}"
    if folder.is_dir():
        return folder
    header = read_header(file)
    readable = architectures or _readable()
    if header.architecture not in readable:
        raise SpecError(
            f"{title}: {file.name} is a GGUF of architecture {header.architecture!r}; "
            f"what can be converted: {', '.join(sorted(readable))}"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_room(folder.parent, header, title)
        _convert(file, folder, header, f"{title} ({described(header)})")
    except (OSError, SafetensorError) as error:
        raise SpecError(
            f"{title}: writing its float32 weights to {folder.parent} failed: {' '.join(str(error).split())}; nothing "
            "was left there. Make room, or set PGSRM_CACHE to another folder"
        ) from error
    return folder


def described(header: Header) -> str:
    """What the weights are, for a report."""
    bits = header.quantisation.removeprefix("Q").partition("_")[0]
    if not (header.quantisation.startswith("Q") and bits.isdigit()):
        return f"{header.quantisation} weights"
    return f"{bits}-bit weights ({header.quantisation}) dequantised, not the originals"


def read_header(file: Path) -> Header:
    """Reads what a GGUF file says about itself.

    Raises:
        SpecError: it is no GGUF file, or cut short.
    """
    import gguf

    try:
        reader = gguf.GGUFReader(file)
        weights: dict[str, int] = {}
        for tensor in reader.tensors:
            kind = str(tensor.tensor_type.name)
            weights[kind] = weights.get(kind, 0) + int(tensor.n_elements)
        fields = {name: reader.fields[name].contents() for name in reader.fields if _is_scalar(name)}
        architecture = str(fields["general.architecture"])
        if not weights:
            raise ValueError("it has no tensors")
    except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise SpecError(f"{file} is no whole GGUF file: {' '.join(str(error).split())}") from None

    def number(name: str) -> int | None:
        return None if fields.get(name) is None else int(fields[name])

    return Header(
        architecture,
        max(weights, key=lambda kind: weights[kind]),
        sum(weights.values()),
        number(f"{architecture}.context_length"),
        fields.get("tokenizer.ggml.pre"),
        number("tokenizer.ggml.eos_token_id"),
        number("tokenizer.ggml.padding_token_id"),
    )


def _is_scalar(name: str) -> bool:
    lists = ("tokens", "merges", "token_type", "scores")  # of a whole vocabulary; transformers reads them
    return not (name.startswith("tokenizer.ggml.") and name.endswith(lists))


def _readable() -> frozenset[str]:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    return frozenset(GGUF_SUPPORTED_ARCHITECTURES) - {"general", "tokenizer"}


def _check_room(folder: Path, header: Header, title: str) -> None:
    need, free = header.parameters * FLOAT32 + BESIDE_WEIGHTS, shutil.disk_usage(folder).free
    if free < need:
        raise SpecError(
            f"{title}: its float32 weights need {need / 1e6:,.0f} MB in {folder}, which has {free / 1e6:,.0f} MB free; "
            "make room, or set PGSRM_CACHE to another folder"
        )


def _convert(file: Path, folder: Path, header: Header, origin: str) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=TEMPORARY))
    try:
        _write(file, temporary, header, origin)
        for written in temporary.iterdir():
            with written.open("rb+") as stream:
                os.fsync(stream.fileno())
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has made the same
                raise
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(file: Path, folder: Path, header: Header, origin: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        try:
            lm = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        except (ValueError, KeyError, IndexError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise SpecError(
                f"{file.name}: transformers cannot read this GGUF: {type(error).__name__}: {reason}"
            ) from error
        _mend(tokenizer, header)
        setattr(lm.config, ORIGIN, origin)
        lm.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    finally:
        logging.enable_progress_bar()
    about = {"origin": origin, "architecture": header.architecture, "quantisation": header.quantisation}
    (folder / "origin.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _mend(tokenizer: Any, header: Header) -> None:
    """What transformers (5.10) does not carry over from a GGUF: which tokens end and fill, and how digits are split."""
    from tokenizers import pre_tokenizers

    tokenizer.clean_up_tokenization_spaces = False  # a BPE's spaces are the text's own
    if header.end is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(header.end)
    if header.pad is not None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(header.pad)
    if header.context is not None:
        tokenizer.model_max_length = header.context
    if header.pre_tokenizer == "smollm":  # llama.cpp, llama-vocab.cpp: \p{N} one by one, then GPT-2's expression
        steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
