"""A step's responses, from TransferQueue to samples, and their rewards back into it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import transfer_queue
from tensordict import NonTensorData, TensorDict

from pgsrm_plugin.data.completions import Turns, response_text
from pgsrm_plugin.data.files import plain
from pgsrm_plugin.errors import DataError
from pgsrm_plugin.policy.base import PolicyTokens
from pgsrm_plugin.types import RewardOutput, RewardSample
from pgsrm_verl import compat
from pgsrm_verl.rows import RowReader

_KEY = re.compile(r"(.+_[^_]+)_([0-9]+)", re.DOTALL)
_COLUMNS = ("raw_prompt", "reward_model", "extra_info", "data_source", "uid")


@dataclass(frozen=True)
class Rollouts:
    """A step's samples, in the order of its keys, and the lengths of the responses in tokens.

    Attributes:
        ids: the tokens of each response.
        own: 1 where the policy wrote the token.
        last: of each row, the row of its session's last output, whose text is scored.
    """

    samples: list[RewardSample]
    lengths: list[int]
    ids: list[list[int]] = field(default_factory=list)
    own: list[list[int]] = field(default_factory=list)
    last: list[int] = field(default_factory=list)

    def label(self, row: int) -> str:
        """How messages call a row."""
        return f"response {row} of the step (group {self.samples[row].group})"


def fetch(batch: Any, reader: RowReader, tokenizer: Any, turns: Turns = "own", with_tokens: bool = False) -> Rollouts:
    """Reads what the reward needs; verl's own colocated path leaves the references behind.

    Where an agent loop put several outputs into a session, the last one is scored for all of them.

    Args:
        turns: what is scored of a response in which tools wrote, too; see :mod:`pgsrm_plugin.data.completions`.
        with_tokens: whether samples carry the policy's own tokens, for a reward that asks it.

    Raises:
        DataError: the rows carry no raw_prompt, or a column is of a wrong type; or tokens are wanted of a response in
            which tools wrote, too.
    """
    wanted = list(dict.fromkeys((*_COLUMNS, *reader.switch_columns)))
    data = _get(batch, ["responses", "response_mask", *(["prompts"] if with_tokens else []), *wanted])
    columns = {name: _column(data, name, len(batch.keys)) for name in wanted}
    if any(prompt is None for prompt in columns["raw_prompt"]):
        raise DataError("the rows have no raw_prompt; pgsrm needs verl's data set to return it")
    ids = list(data["responses"].unbind())
    masks = [mask.tolist() for mask in data["response_mask"].unbind()]
    texts = [response_text(tokenizer, row, own, turns) for row, own in zip(ids, masks, strict=True)]
    prompts = list(data["prompts"].unbind()) if with_tokens else []
    samples, outputs = [], last_outputs(batch.keys)
    for row, last in enumerate(outputs):
        found = {name: values[row] for name, values in columns.items()}
        sample = reader.sample(found, plain(found["raw_prompt"]), texts[last], f"response {row} of the step")
        sample = replace(sample, group=str(found["uid"]))
        if with_tokens:
            if not all(masks[last]):
                raise DataError(
                    f"response {row} of the step: tools wrote in it, too, and a term that asks the policy puts "
                    "references among the policy's own words; leave the term out, or the tools"
                )
            sample = replace(sample, tokens=PolicyTokens(tuple(prompts[last].tolist()), tuple(ids[last].tolist())))
        samples.append(sample)
    return Rollouts(samples, [len(row) for row in ids], [row.tolist() for row in ids], masks, outputs)


def last_outputs(keys: Sequence[str]) -> list[int]:
    """For each row the row of its session's last output. verl's keys are ``{uid}_{session}_{index}``; a row of another
    key is a session of its own.

    >>> last_outputs(["a_0_0", "a_1_0", "a_0_1", "mine"])
    [2, 1, 2, 3]
    """
    places = [_place(key) for key in keys]
    last: dict[str, tuple[int, int]] = {}
    for row, (session, index) in enumerate(places):
        last[session] = max(last.get(session, (index, row)), (index, row))
    return [last[session][1] for session, _ in places]


def _place(key: str) -> tuple[str, int]:
    """The session of a key, and the index in it."""
    found = _KEY.fullmatch(key)
    return (found[1], int(found[2])) if found else (key, 0)


def store(batch: Any, rollouts: Rollouts, output: RewardOutput, credit: Sequence[torch.Tensor] | None = None) -> None:
    """Writes each reward onto its response's last token; an empty response has none and is left without.

    Args:
        credit: what each token has besides, which adds up to 0 in a response.
    """
    rewards = [
        _on_last_token(total, length) for total, length in zip(output.total_B.tolist(), rollouts.lengths, strict=True)
    ]
    if credit is not None:
        rewards = [reward_T + own_T for reward_T, own_T in zip(rewards, credit, strict=True)]
    _put(batch, {"rm_scores": _jagged(rewards)})


def add_to_advantages(batch: Any, credit: Mapping[str, torch.Tensor]) -> None:
    """Adds each token's credit to its advantage.

    Args:
        credit: by key; other rows stay as they are.
    """
    keys = [key for key in batch.keys if key in credit]
    if not keys:
        return
    part = {"keys": keys, "partition_id": batch.partition_id}
    advantages = transfer_queue.kv_batch_get(**part, select_fields=["advantages"])["advantages"].unbind()
    rows = [own_T + credit[key].to(own_T) for key, own_T in zip(keys, advantages, strict=True)]
    transfer_queue.kv_batch_put(**part, fields=compat.get_tensordict({"advantages": _jagged(rows)}))


def mask_unscored(batch: Any, output: RewardOutput) -> None:
    """Takes the unscored rows out of the loss and of their group's statistics, as verl does with its padding rows."""
    skipped = [not scored for scored in output.scored_B.tolist()]
    if not any(skipped):
        return
    data = _get(batch, ["response_mask", "loss_mask", "uid"])
    fields: dict[str, Any] = {}
    for name in ("response_mask", "loss_mask"):
        rows = zip(data[name].unbind(), skipped, strict=True)
        fields[name] = _jagged([torch.zeros_like(mask_T) if skip else mask_T for mask_T, skip in rows])
    uids = _column(data, "uid", len(skipped))
    # Groups are rows of one uid: with a uid of its own a row is in no other row's mean and deviation.
    fields["uid"] = [
        f"{uid}-unscored-{row}" if skip else uid for row, (uid, skip) in enumerate(zip(uids, skipped, strict=True))
    ]
    _put(batch, fields)


def store_extra(batch: Any, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes each row's numbers where verl's validation looks for them."""
    fields = _column(_get(batch, ["extra_fields"]), "extra_fields", len(rows))
    # verl keeps other things in this column, and a put replaces it whole.
    merged = [{**(field or {}), "reward_extra_info": dict(row)} for field, row in zip(fields, rows, strict=True)]
    _put(batch, {"extra_fields": merged})


def _on_last_token(total: float, length: int) -> torch.Tensor:
    row_T = torch.zeros(length)
    row_T[-1:] = total
    return row_T


def _jagged(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def _get(batch: Any, fields: list[str]) -> TensorDict:
    return transfer_queue.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)


def _put(batch: Any, fields: dict[str, Any]) -> None:
    transfer_queue.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=compat.get_tensordict(fields))


def _column(data: TensorDict, name: str, rows: int) -> list[Any]:
    """A non-tensor column as a plain list, whatever the queue's backend made of it; None where there is none."""
    if name not in data.keys():  # noqa: SIM118 (a TensorDict iterates over rows)
        return [None] * rows
    return [value.data if isinstance(value, NonTensorData) else value for value in list(data[name])]
