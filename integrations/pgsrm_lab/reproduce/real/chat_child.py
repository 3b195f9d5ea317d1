"""Is there such a child, can it be chatted with, and do the prompts fit? Asked before any run starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pgsrm_lab.reproduce.real.chat_protocol import SHORT, ChatProtocol
from pgsrm_lab.tasks import load_task
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import encode_prompt
from pgsrm_plugin.data.rows import Record
from pgsrm_plugin.errors import SpecError, did_you_mean


def admitted(protocol: ChatProtocol, tasks: Sequence[str]) -> ChatProtocol:
    """The protocol with the child's full name, and with what its weights are.

    Raises:
        SpecError: the child cannot be loaded, or has no chat template.
        DataError: a prompt of the tasks is longer than its context.
    """
    child = SHORT.get(protocol.child, protocol.child)
    try:
        policy = Policy(child, value_head=False, reference=False)
    except SpecError as error:
        raise SpecError(f"{error}{did_you_mean(child, SHORT)}") from None
    if not policy.tokenizer.chat_template:
        raise SpecError(
            f"child {child!r} has no chat template, through which this study asks; take an instruction-tuned child, "
            f"such as --child {next(iter(SHORT))}"
        )
    for task in tasks:
        for number, prompt in enumerate(load_task(task).prompts, start=1):
            record = Record({}, f"child {child!r}: task {task}, prompt {number}", prompt, None, (), None, "", None)
            encode_prompt(record, policy, protocol.sampling(task))
    return dataclasses.replace(protocol, child=child, origin=policy.origin)
