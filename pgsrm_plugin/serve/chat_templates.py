"""Chat templates: a prompt as the text that a policy was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Template
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pgsrm_plugin.data.completions import SPECIAL_TOKENS
from pgsrm_plugin.errors import DataError, SpecError, did_you_mean
from pgsrm_plugin.types import Prompt

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
_QWEN = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\n"
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n{% endif %}" + _CHATML
)
_LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)
_GEMMA = (
    "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}<start_of_turn>model\n"
)
NAMED = {"chatml": _CHATML, "qwen": _QWEN, "llama3": _LLAMA3, "gemma": _GEMMA, "none": "{{ messages[-1].content }}"}
"""Templates by name; ``none`` is the last message as it is. Any other is read from a model's folder."""
Render = Callable[[Prompt], str]


def chat_template(name: str) -> tuple[Render, tuple[str, ...]]:
    """What makes a text of a prompt, and the special tokens of such texts.

    Args:
        name: one of :data:`NAMED`, or a folder with a tokenizer that has a chat template.

    Raises:
        SpecError: it is neither.
    """
    if name in NAMED:
        template = ImmutableSandboxedEnvironment(keep_trailing_newline=True).from_string(NAMED[name])
        return lambda prompt: _rendered(template, prompt), SPECIAL_TOKENS
    if not Path(name).expanduser().is_dir():
        raise SpecError(
            f"--chat-template {name}: there is no such folder, nor a template of that name{did_you_mean(name, NAMED)} "
            f"(known: {', '.join(NAMED)})"
        )
    tokenizer = _tokenizer(name)
    special = tuple(dict.fromkeys([*SPECIAL_TOKENS, *map(str, tokenizer.all_special_tokens)]))
    return lambda prompt: _applied(tokenizer, prompt), special


def _tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(Path(folder).expanduser()), local_files_only=True)
    except (OSError, ValueError) as error:
        raise SpecError(f"--chat-template {folder}: no tokenizer can be read from it ({str(error)[:200]})") from None
    if not tokenizer.chat_template:
        raise SpecError(f"--chat-template {folder}: the tokenizer has no chat template; name one of {', '.join(NAMED)}")
    return tokenizer


def _messages(prompt: Prompt) -> Sequence[Any]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _rendered(template: Template, prompt: Prompt) -> str:
    return template.render(messages=_messages(prompt))


def _applied(tokenizer: Any, prompt: Prompt) -> str:
    try:
        text: str = tokenizer.apply_chat_template(_messages(prompt), add_generation_prompt=True, tokenize=False)
    except (TemplateError, TypeError, KeyError) as error:
        raise DataError(f"the chat template refuses a prompt: {error}") from None
    return text
