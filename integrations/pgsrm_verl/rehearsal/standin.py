"""The stand-in for the recipe's model: its family and its tokenizer where they can be had, random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgsrm_plugin.errors import SpecError
from pgsrm_verl.rehearsal.tiny import family_of, save_tiny_model, train_tokenizer

_HUB_SECONDS = 5.0


@dataclass(frozen=True)
class StandIn:
    """A tiny model's folder-to-be and what to say about it.

    Attributes:
        config: of the recipe's model, or of its family.
        family: model type, e.g. "qwen2".
        own_tokenizer: whether the tokenizer is the recipe's own.
        note: where config and tokenizer come from.
    """

    config: Any
    tokenizer: Any
    family: str
    own_tokenizer: bool
    note: str

    def prompt_tokens(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """The length of a prompt as the policy reads it."""
        return len(self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, return_dict=False))

    def chat_tokens(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """The length of a whole chat."""
        return len(self.tokenizer.apply_chat_template(list(messages), return_dict=False))

    def save(self, folder: Path, positions: int) -> int:
        """Writes model and tokenizer; returns the number of parameters."""
        return save_tiny_model(folder, self.config, self.tokenizer, positions)


def find_stand_in(
    model: str,
    texts: Callable[[], Iterable[str]],
    chat_template: str | None = None,
    trust_remote_code: bool = False,
    section: str = "actor_rollout_ref.model",
) -> StandIn:
    """The stand-in for a model's folder or hub id.

    Args:
        texts: what to train a tokenizer on, if the model's own cannot be had.
        chat_template: the recipe's own, which goes before the tokenizer's.
        section: where the recipe has the model.

    Raises:
        SpecError: the folder has no config, the family is not known, or the tokenizer has no chat template.
    """
    folder = _reachable(model, section)
    config = _config(folder, trust_remote_code) if folder else None
    tokenizer = _tokenizer(folder, trust_remote_code) if folder else None
    own = tokenizer is not None
    if tokenizer is not None and not (chat_template or tokenizer.chat_template):
        raise SpecError(
            f"{model}: its tokenizer has no chat template, so verl cannot write prompts for it; set "
            f"{section}.custom_chat_template, or take an instruction-tuned model"
        )
    if config is None:
        config = _config_by_name(model, section)
    if tokenizer is None:
        tokenizer = train_tokenizer(texts())
    if chat_template:
        tokenizer.chat_template = chat_template
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    note = f"{config.model_type}, {'its own tokenizer' if own else 'a tokenizer trained on your rows'}"
    return StandIn(config, tokenizer, config.model_type, own, note)


def _reachable(model: str, section: str) -> str | None:
    """A name under which config.json can be read: a folder with one, or a hub id that answers (or is cached)."""
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise SpecError(f"{section}.path: {path} has no config.json")
        return str(path)
    if model.startswith(("/", "~", ".")):
        return None
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        if isinstance(try_to_load_from_cache(model, "config.json"), str):
            return model
        if not _hub_answers():
            return None
        hf_hub_download(model, "config.json", etag_timeout=_HUB_SECONDS)
    except (RepositoryNotFoundError, HFValidationError):
        raise SpecError(f"{section}.path: {model} is neither a folder nor a repository of the hub") from None
    except Exception:  # no network, no access, a proxy's page: the stand-in does without
        return None
    return model


def _hub_answers() -> bool:
    """Asked first, as downloads are tried over and over where there is no network."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except httpx.HTTPError:
        return False
    return True


def _config(folder: str, trust_remote_code: bool) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code).get_text_config(decoder=True)
    except (ValueError, OSError) as error:
        raise SpecError(f"{folder}: {str(error).splitlines()[0]}") from None


def _tokenizer(folder: str, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (ValueError, OSError):
        return None


def _config_by_name(model: str, section: str) -> Any:
    from transformers import AutoConfig

    family = family_of(model)
    if family is None:
        raise SpecError(
            f"{section}.path: {model} cannot be read here and its name tells no model family; give a "
            "folder that has its config.json"
        )
    return AutoConfig.for_model(family)
