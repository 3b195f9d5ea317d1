"""The reward managers ``pgsrm`` and ``semantic``: rewards of single responses, while the rollout goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch

from pgsrm_plugin.data.completions import response_text
from pgsrm_plugin.data.files import plain
from pgsrm_plugin.encoders import EncoderSection
from pgsrm_plugin.errors import DataError, PgsrmError
from pgsrm_plugin.reward import RewardPair, SemanticReward
from pgsrm_plugin.scorer.batching import MicroBatcher, Scored
from pgsrm_plugin.text.clean import prompt_text
from pgsrm_plugin.types import Encoder, RewardSample
from pgsrm_plugin.validate import check_samples
from pgsrm_verl.columns import logged_rows
from pgsrm_verl.compat import RewardManagerBase, register_reward_manager
from pgsrm_verl.rows import Convention, prompt_key
from pgsrm_verl.settings import Settings
from pgsrm_verl.streaming.handover import handed_mask
from pgsrm_verl.streaming.online import open_parent
from pgsrm_verl.streaming.preflight import Plan, make_plan

logger = logging.getLogger(__name__)


class _Question(NamedTuple):
    validation: bool
    sample: RewardSample


_Numbers = dict[str, float]


@register_reward_manager("pgsrm")
class PgsrmRewardManager(RewardManagerBase):
    """References are the parent's answers; where they stand in a row says :mod:`pgsrm_verl.rows`.

    Concurrent calls are scored together by one :class:`~pgsrm_plugin.SemanticReward`. Every row carries the same float
    keys: ``pgsrm/<term>``, ``pgsrm/<term>/weighted``, ``pgsrm/<diagnostic>`` (``unscorable``, ``truncated`` ...),
    ``pgsrm/batch_rows``, ``pgsrm/queue_ms``, ``pgsrm/score_ms``, and ``acc``: the term ``correctness`` or
    ``exact_match`` if the spec has one, else whether the response equals the ground truth (or, without one, a
    reference), case and white space aside. With ``pgsrm.parent`` also ``pgsrm/parent_calls``, ``parent_hits``,
    ``parent_failures``, ``parent_tokens`` and ``parent_budget_left``: totals of the run so far.

    Raises:
        SpecError: a setting or a spec is wrong, or asks for what cannot be done response by response.
        DataError: a row of the data files lacks a reference or a ground truth; the message names it.
        ScorerError: the encoder does not work.
    """

    convention: ClassVar[Convention] = "pgsrm"

    def __init__(
        self,
        config: Mapping[str, Any],
        tokenizer: Any,
        compute_score: Any = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        try:
            self._set_up(config)
        except PgsrmError as error:
            logger.error("pgsrm-plugin cannot give rewards: %s", error)
            raise

    def _set_up(self, config: Mapping[str, Any]) -> None:
        plan = make_plan(config, self.convention)
        self._turns, self._warned = plan.settings.turns, False
        self._reader, self._validation_prompts = plan.reader, plan.seen.validation
        self._rewards = RewardPair.build(plan.spec, plan.val_spec, partial(place_encoder, plan))
        self._parent = None if plan.settings.parent is None else open_parent(plan.settings.parent)
        self._batcher: MicroBatcher[_Question, _Numbers] = MicroBatcher(
            self._score, plan.settings.micro_batch, deadline="micro_batch.deadline_s"
        )
        _warn_of_copies(config["reward"], plan.settings)

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The reward of the last response in ``data``, and what it is made of.

        Raises:
            DataError: the row lacks what its reward compares with.
            ScorerError: the encoder failed, or the deadline passed. verl then leaves the response out.
        """
        item = data[-1:][0]
        columns = item.non_tensor_batch
        if "raw_prompt" not in columns:
            raise DataError("the row has no raw_prompt; pgsrm needs verl's data set to return it")
        prompt = plain(columns["raw_prompt"])
        label = f"the response to {prompt_text(prompt)[:60]!r}"
        # In a thread, as every other response of this worker waits for the event loop.
        response = await asyncio.get_running_loop().run_in_executor(None, self._decode, item)
        sample = self._reader.sample(columns, prompt, response, label)
        if self._parent is not None:
            sample = await self._parent.with_references(sample)
        question = _Question(prompt_key(sample.prompt) in self._validation_prompts, sample)
        check_samples([sample], self._reward_of(question).spec, label=lambda i: label)
        scored = await self._batcher.submit(question)
        online = {} if self._parent is None else self._parent.numbers()
        return {"reward_score": scored.value["reward"], "reward_extra_info": {**_extra_info(scored), **online}}

    @classmethod
    def assemble_rm_scores(cls, data: Any, scores: Sequence[float]) -> torch.Tensor:
        """The (B, T) token rewards: each score on its response's last token, an empty response's on the first."""
        prompt_length = data.batch["prompts"].size(1)
        lengths_B = data.batch["attention_mask"][:, prompt_length:].sum(dim=1)
        rm_scores_BT = torch.zeros_like(data.batch["responses"], dtype=torch.float32)
        last_B = (lengths_B - 1).clamp(min=0)
        rm_scores_BT[torch.arange(len(last_B), device=last_B.device), last_B] = rm_scores_BT.new_tensor(scores)
        return rm_scores_BT

    def _decode(self, item: Any) -> str:
        own = handed_mask(item.non_tensor_batch)
        if own is None and self._turns != "all" and not self._warned and _answered_by_others(item.non_tensor_batch):
            self._warned = True
            logger.warning(
                "verl handed over no response_mask, so what tools wrote in a response is scored as the policy's words"
            )
        ids = response_ids(item.batch, item.non_tensor_batch)
        return response_text(self.tokenizer, ids, own, self._turns)

    def _reward_of(self, question: _Question) -> SemanticReward:
        return self._rewards.of(question.validation)

    def _score(self, questions: Sequence[_Question]) -> list[_Numbers]:
        numbers: list[_Numbers] = [{}] * len(questions)
        for reward in {id(reward): reward for reward in (self._rewards.train, self._rewards.val)}.values():
            chosen = [i for i, question in enumerate(questions) if self._reward_of(question) is reward]
            if chosen:
                samples = [questions[i].sample for i in chosen]
                for i, row in zip(chosen, score_rows(reward, samples), strict=True):
                    numbers[i] = row
        return numbers


@register_reward_manager("semantic")
class SemanticRewardManager(PgsrmRewardManager):
    """References are experts' explanations: without others, ``reward_model.ground_truth`` is the explanation."""

    convention: ClassVar[Convention] = "semantic"


def response_ids(batch: Mapping[str, torch.Tensor], columns: Mapping[str, Any]) -> torch.Tensor:
    """The tokens of a row's response without padding.

    verl says how many there are, since it pads prompt and response at the end where a session has several outputs: the
    mask would not tell the one from the other. Where it does not say, all prompts are of one length.
    """
    length = columns.get("response_len")
    if length is None:
        length = batch["attention_mask"][batch["prompts"].shape[-1] :].sum()
    return batch["responses"][: int(length)]


def _answered_by_others(columns: Mapping[str, Any]) -> bool:
    """Whether a session has more turns than a question and its answer."""
    return int(columns.get("__num_turns__") or 0) > 2


def place_encoder(plan: Plan, section: EncoderSection) -> Encoder:
    """The encoder of a section where the settings want it: in this process, or in actors that workers share."""
    if plan.settings.encoder.where == "worker":
        return section.build()
    from pgsrm_verl.streaming.actors import ActorEncoder

    spec = plan.spec if plan.val_spec is None or section == plan.spec.encoder else plan.val_spec
    return ActorEncoder.for_section(section, plan.settings.encoder, spec.cache_mb)


def score_rows(reward: SemanticReward, samples: Sequence[RewardSample]) -> list[_Numbers]:
    """One dict of floats a row: ``reward``, ``acc`` and the ``pgsrm/...`` numbers of :class:`PgsrmRewardManager`."""
    return logged_rows(reward.score(samples), samples, reward.spec)


def _extra_info(scored: Scored[_Numbers]) -> _Numbers:
    batch = {"batch_rows": float(scored.batch_rows), "queue_ms": scored.queue_ms, "score_ms": scored.score_ms}
    named = {f"pgsrm/{name}": value for name, value in batch.items()}
    # verl's validation has a list "reward" of its own, to which a key of that name would be added too.
    return {**{name: value for name, value in scored.value.items() if name != "reward"}, **named}


def _warn_of_copies(reward: Mapping[str, Any], settings: Settings) -> None:
    workers = reward.get("num_workers") or 1
    if settings.encoder.where == "worker" and workers > 1:
        logger.warning(
            "reward.num_workers is %d, so %d copies of the encoder are loaded, and equal responses scored by different "
            "ones may differ in the last digits; set reward.num_workers=1, or pgsrm.encoder.where=actors to share",
            workers,
            workers,
        )
