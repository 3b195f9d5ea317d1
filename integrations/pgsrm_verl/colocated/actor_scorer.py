"""What the actor of verl's trainer says of tokens, for rewards that ask the policy itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pgsrm_plugin.policy.base import Continuation, TokenStatistics, Weights
from pgsrm_verl import compat


class ActorScorer:
    """Satisfies :class:`~pgsrm_plugin.policy.base.PolicyScorer` by the pass that computes old log-probabilities.

    Every call is one more such pass, over all ranks, in the micro-batches that verl's config has for it.

    Args:
        trainer: has the worker groups, the tokenizer and the config.
        context: the most tokens that the actor's model reads.
    """

    def __init__(self, trainer: Any, context: int) -> None:
        self._trainer = trainer
        self.context = context
        self.end: int = trainer.tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.encode`."""
        return list(self._trainer.tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.decode`."""
        text: str = self._trainer.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def look(self, weights: Weights, asked: Sequence[Continuation]) -> list[TokenStatistics]:
        """See :meth:`pgsrm_plugin.policy.base.PolicyScorer.look`; ``frozen`` is verl's reference policy."""
        trainer, frozen = self._trainer, weights == "frozen"
        section = trainer.config["actor_rollout_ref"]
        of_ref = frozen and not trainer.ref_in_actor
        sizes = batch_sizes(section["ref" if of_ref else "rollout"], asked)
        group = trainer.ref_policy_wg if of_ref else trainer.actor_rollout_wg
        multiple = _ranks(group, "ref" if of_ref else "actor") * (sizes.get("micro_batch_size_per_gpu") or 1)
        batch = as_batch([*asked, *[asked[-1]] * (-len(asked) % multiple)])
        compat.assign_non_tensor(
            batch,
            calculate_entropy=True,
            compute_loss=False,
            temperature=float(section["rollout"]["temperature"]),
            **({"no_lora_adapter": True} if frozen and trainer.ref_in_actor else {}),
            **sizes,
        )
        output = group.compute_ref_log_prob(batch) if of_ref else group.compute_log_prob(batch)
        columns = (output["log_probs"].unbind(), output["entropy"].unbind())
        return [
            TokenStatistics(*(tuple(_of_target(row_S, one).tolist()) for row_S in rows))
            for one, *rows in zip(asked, *(column[: len(asked)] for column in columns), strict=True)
        ]


def batch_sizes(section: Mapping[str, Any], asked: Sequence[Continuation]) -> dict[str, Any]:
    """The micro-batches of a pass for log-probabilities, as verl's workers are told them; a continuation fits always.

    Args:
        section: ``actor_rollout_ref.rollout`` or ``ref``.
    """
    dynamic = bool(section["log_prob_use_dynamic_bsz"])
    if not dynamic:
        return {"use_dynamic_bsz": False, "micro_batch_size_per_gpu": section["log_prob_micro_batch_size_per_gpu"]}
    longest = max(sum(map(len, one)) for one in asked)
    return {"use_dynamic_bsz": True, "max_token_len_per_gpu": max(section["log_prob_max_token_len_per_gpu"], longest)}


def as_batch(asked: Sequence[Continuation]) -> Any:
    """The continuations as verl's workers take rows without padding."""
    rows = [torch.tensor([*one.prompt, *one.between, *one.target], dtype=torch.int64) for one in asked]
    masks = [torch.ones(len(one.target), dtype=torch.int64) for one in asked]
    jagged = {
        "input_ids": rows,
        "position_ids": [torch.arange(len(row)) for row in rows],
        "response_mask": masks,
        "loss_mask": masks,
    }
    return compat.get_tensordict(
        {name: torch.nested.as_nested_tensor(column, layout=torch.jagged) for name, column in jagged.items()}
    )


def _of_target(row_S: torch.Tensor, one: Continuation) -> torch.Tensor:
    """What stands for the target's tokens: each number is of the token after its place."""
    return row_S[-len(one.target) - 1 : -1].float()


def _ranks(group: Any, mesh: str) -> int:
    """How many shares a worker group deals a batch into."""
    known: dict[str, list[int]] = group._dispatch_info
    if mesh not in known:
        known[mesh] = group._query_dispatch_info(mesh)
    return max(known[mesh]) + 1


def context_of(model: Any) -> int:
    """The most tokens that the model of ``actor_rollout_ref.model`` reads."""
    config = compat.omega_conf_to_dataclass(model).hf_config.get_text_config()
    return int(getattr(config, "max_position_embeddings", None) or 2**31)
