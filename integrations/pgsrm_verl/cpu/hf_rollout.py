"""A rollout by Hugging Face ``generate`` on the CPU: one small server a replica, in a Ray actor of its own.

It stands in for vLLM where none is installed: same sampling parameters, log-probabilities of the sampled tokens,
weights updated by the trainer, concurrent requests answered in batches.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pgsrm_verl import compat
from pgsrm_verl.cpu.sampling import Sampling, generate

_GATHER_SECONDS = 0.02
"""How long the first of a batch waits for others."""


def server_name(replica_rank: int) -> str:
    """The Ray actor name of a replica's server."""
    return f"pgsrm_hf_rollout_{replica_rank}"


@dataclass
class _Request:
    prompt: list[int]
    sampling: Sampling
    seed: int
    answer: asyncio.Future[tuple[list[int], list[float]]] = field(repr=False)


class HfServer:
    """Holds the rollout's copy of the policy and answers ``generate`` calls in batches.

    A response depends on the seed of the rollout config, the replica, the training step, its prompt and how many
    responses to that prompt came before in the step; not on which requests happened to share a batch.
    """

    def __init__(self, config: Any, model_config: Any, replica_rank: int) -> None:
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(1)
        self.config = compat.omega_conf_to_dataclass(config)
        model_config = compat.omega_conf_to_dataclass(model_config, dataclass_type=compat.HFModelConfig)
        self.model = AutoModelForCausalLM.from_pretrained(
            model_config.local_path, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        self.stop_ids = () if self.config.ignore_eos else _stop_ids(self.model, model_config.tokenizer)
        self.replica_rank = replica_rank
        self.global_steps: int | None = None
        self.pending: list[_Request] = []
        self.repeats: Counter[tuple[int, ...]] = Counter()
        self.busy = asyncio.Lock()

    async def generate(
        self, prompt_ids: Iterable[int], sampling_params: dict[str, Any], request_id: str, **media: Any
    ) -> Any:
        """One response; see verl's RolloutReplica servers for the call.

        Raises:
            ValueError: a sampling parameter or an input (images, audio, video) that is not supported.
        """
        given = sorted(name for name, value in media.items() if value)
        if given:
            raise ValueError(f"the Hugging Face rollout takes text only, not {given}")
        prompt = [int(token) for token in prompt_ids]
        request = _Request(
            prompt,
            Sampling.of_request(
                sampling_params,
                self.stop_ids,
                min(self.config.response_length, self.config.prompt_length + self.config.response_length - len(prompt)),
                raw_logprobs=not str(self.config.logprobs_mode).startswith("processed"),
            ),
            self._seed(prompt, sampling_params.get("seed")),
            asyncio.get_running_loop().create_future(),
        )
        self.pending.append(request)
        if len(self.pending) == 1:
            asyncio.create_task(self._serve())  # noqa: RUF006 - the requests hold its results
        tokens, logprobs = await request.answer
        return compat.TokenOutput(
            token_ids=tokens,
            log_probs=logprobs if sampling_params.get("logprobs") else None,
            stop_reason="completed",
            extra_fields={"global_steps": self.global_steps},
        )

    async def load_weights(self, weights: dict[str, torch.Tensor], global_steps: int | None = None) -> None:
        """Takes over the trainer's weights; validation updates them without telling the step.

        Raises:
            RuntimeError: a tensor is unknown to the model, or one that it needs is missing.
        """
        async with self.busy:
            missing, unexpected = self.model.load_state_dict(weights, strict=False)
            tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
            if unexpected or set(missing) - tied:
                raise RuntimeError(
                    f"weight update: unknown {unexpected[:3]}, missing {sorted(set(missing) - tied)[:3]}"
                )
            if global_steps is not None:
                self.global_steps = global_steps
            self.repeats.clear()

    async def set_global_steps(self, global_steps: int) -> None:
        self.global_steps = global_steps

    async def nothing(self, *_: object, **__: object) -> None:
        """There is no cache to free and no device to leave."""

    wake_up = sleep = clear_kv_cache = release_kv_cache = resume_kv_cache = nothing
    resume_generation = start_profile = stop_profile = nothing

    async def abort_all_requests(self, reject_request: bool = False) -> dict[str, Any]:
        """Nothing is aborted: a synchronous trainer asks only when nothing runs."""
        return {"aborted_count": 0, "request_ids": []}

    def _seed(self, prompt: list[int], given: int | None) -> int:
        key = tuple(prompt)
        self.repeats[key] += 1
        base = self.config.seed if given is None else given
        parts = (base, self.replica_rank, self.global_steps, key, self.repeats[key])
        return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")

    async def _serve(self) -> None:
        """Answers everything that is pending, batch by batch; equal parameters share a batch."""
        await asyncio.sleep(_GATHER_SECONDS)
        async with self.busy:
            requests, self.pending = self.pending, []
            while requests:
                sampling = requests[0].sampling
                batch = [request for request in requests if request.sampling == sampling][: self.config.max_num_seqs]
                taken = {id(request) for request in batch}
                requests = [request for request in requests if id(request) not in taken]
                await self._answer(batch, sampling)

    async def _answer(self, batch: list[_Request], sampling: Sampling) -> None:
        prompts, seeds = [request.prompt for request in batch], [request.seed for request in batch]
        try:
            answers = await asyncio.to_thread(generate, self.model, prompts, sampling, seeds)
        except Exception as error:  # the callers must hear of it, whatever it is
            for request in batch:
                request.answer.set_exception(error)
            return
        for request, answer in zip(batch, answers, strict=True):
            request.answer.set_result(answer)


def _stop_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """What the model or its tokenizer calls an end, as vLLM has it."""
    ids = model.generation_config.eos_token_id
    ids = ids if isinstance(ids, list) else [ids]
    return tuple(sorted({token for token in (*ids, tokenizer.eos_token_id) if token is not None}))


class HfReplica(compat.RolloutReplica):
    """Launches one server beside the replica's first training worker."""

    async def launch_servers(self) -> None:
        node = await self.workers[0].__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id())
        server: Any = (  # Ray's types do not know the .remote of a handle's methods
            ray.remote(HfServer)
            .options(
                name=server_name(self.replica_rank),
                max_concurrency=self.max_concurrency,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node, soft=False),
            )
            .remote(self.config, self.model_config, self.replica_rank)
        )
        await server.set_global_steps.remote(0)  # also waits for the model, and raises what keeps it from loading
        self.servers = [server]
        self._server_handle = server
        self._server_address = server_name(self.replica_rank)


class HfAdapter(compat.BaseRollout):
    """The training worker's side: sends the policy's weights to the server."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, replica_rank: int = -1) -> None:
        super().__init__(config, model_config, device_mesh)
        rank = torch.distributed.get_rank()
        size = self.config.tensor_model_parallel_size * self.config.data_parallel_size
        self.replica_rank = rank // size if replica_rank == -1 else replica_rank
        self.leads = rank % size == 0

    async def resume(self, tags: list[str]) -> None:
        """Nothing was released."""

    async def release(self) -> None:
        """Nothing to release."""

    async def update_weights(
        self,
        weights: Any,
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        peft_config: Any = None,
        **_: Any,
    ) -> None:
        """Sends full tensors; every rank drains the generator, as gathering each of them is a collective.

        Raises:
            ValueError: LoRA adapters that were not merged.
        """
        if peft_config is not None:
            raise ValueError(
                "the Hugging Face rollout needs LoRA weights merged: set actor_rollout_ref.model.lora.merge=true"
            )
        state = {}
        async for name, tensor in compat.ensure_async_iterator(weights):
            if self.leads:
                # On a CPU float() and cpu() may copy nothing, and the tensor stay the trainer's own.
                state[name] = tensor.detach().float().cpu().clone()
        if self.leads:
            await ray.get_actor(server_name(self.replica_rank)).load_weights.remote(state, global_steps)
