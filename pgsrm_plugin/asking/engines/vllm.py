"""A parent that vLLM runs in this process, offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions, version
from typing import Any

from pgsrm_plugin.asking.engines.base import Completion
from pgsrm_plugin.asking.engines.render import joined
from pgsrm_plugin.asking.engines.settings import VllmSettings, without_secrets
from pgsrm_plugin.asking.store.answers import ParentConfig, Request
from pgsrm_plugin.errors import ScorerError, SpecError

_DEAD = "EngineDeadError"
"""Raised by every call once vLLM's own process is gone, also by Ctrl-C; its module moves between versions."""


class VllmEngine:
    """Hands batches to ``LLM.chat``, or to ``LLM.generate`` where the tokenizer has no chat template.

    Within a batch vLLM schedules as it likes; a batch's answers are stored together, so a larger ``batch_size`` keeps
    the device busier and a smaller one loses less in a kill. ``engine_args`` reach ``vllm.LLM`` as they are
    (``tensor_parallel_size``, ``max_model_len``, ``gpu_memory_utilization``, ``dtype`` ...), ``sampling.extra`` reaches
    ``SamplingParams``.

    Args:
        config: the parent; ``model`` is a folder or a hub id.
        settings: batch size and vLLM's own arguments.

    Raises:
        SpecError: vLLM is not installed, or cannot load the model; an argument is unknown to it.
    """

    def __init__(self, config: ParentConfig, settings: VllmSettings) -> None:
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise SpecError(f"engine vllm needs vLLM: pip install 'pgsrm-plugin[vllm]' ({error})") from error
        self.config = config
        self.batch_size = settings.batch_size
        self._engine_args = dict(settings.engine_args)
        self._sampling_params = SamplingParams
        self._params(Request(""))
        arguments = {"trust_remote_code": False, "model": config.model, "revision": config.revision}
        try:
            self._llm = LLM(**(arguments | self._engine_args))
        except Exception as error:
            raise SpecError(
                f"the parent {config.model!r} cannot be loaded by vLLM: {type(error).__name__}: {str(error)[:400]}"
            ) from error
        self._has_template = bool(getattr(self._llm.get_tokenizer(), "chat_template", None))

    def __repr__(self) -> str:
        return f"VllmEngine({self.config.model!r})"

    @property
    def settings(self) -> Mapping[str, Any]:
        distributions = packages_distributions().get("vllm", ["vllm"])
        arguments = {name: str(value) for name, value in without_secrets(self._engine_args).items()}
        return {"vllm": version(distributions[0]), "engine_args": arguments}

    def complete_batch(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request. What vLLM raises over one prompt (too long) it raises over the whole batch.

        Raises:
            ScorerError: the engine itself failed or died; it has to be started anew.
        """
        params = [self._params(request) for request in requests]
        messages = [request.messages(self.config) for request in requests]
        try:
            if self._has_template:
                outputs = self._llm.chat(messages, params, use_tqdm=False)
            else:
                outputs = self._llm.generate([joined(turns) for turns in messages], params, use_tqdm=False)
        except Exception as error:
            if isinstance(error, (RuntimeError, OSError)) or type(error).__name__ == _DEAD:
                raise ScorerError(
                    f"vLLM failed: {type(error).__name__}: {str(error)[:400]}; what was answered is kept, run the same "
                    "command again"
                ) from error
            raise
        return [_completion(output) for output in outputs]

    def _params(self, request: Request) -> Any:
        sampling = self.config.sampling
        settings: dict[str, Any] = {
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": request.seed(self.config),
            "stop": list(sampling.stop) or None,
        }
        if sampling.temperature is not None:
            settings["temperature"] = sampling.temperature
        try:
            return self._sampling_params(**(settings | dict(sampling.extra)))
        except (TypeError, ValueError) as error:
            raise SpecError(f"engine vllm: vLLM's SamplingParams refuse the settings: {error}") from error


def _completion(output: Any) -> Completion:
    answer = output.outputs[0]
    return Completion(
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=len(output.prompt_token_ids or ()),
        first_token=_first_token(answer),
        completion_tokens=len(answer.token_ids),
    )


def _first_token(answer: Any) -> dict[str, float] | None:
    if not answer.logprobs:
        return None
    return {str(one.decoded_token): float(one.logprob) for one in answer.logprobs[0].values()}
