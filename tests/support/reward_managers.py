"""verl's reward managers without a run: made from a config by verl's own loader, and given rollouts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from omegaconf import OmegaConf
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, AgentLoopWorker
from verl.trainer.ppo.reward import load_reward_manager

HASHING = "encoder: {kind: hashing}\nterms: {semantic: {}}\n"


class Words:
    """A tokenizer of whole words; 0 pads and is special."""

    def __init__(self) -> None:
        self.words = ["<pad>"]

    def encode(self, text: str) -> list[int]:
        self.words += [word for word in text.split(" ") if word and word not in self.words]
        return [self.words.index(word) for word in text.split(" ") if word]

    def decode(self, ids, skip_special_tokens: bool = False) -> str:
        assert skip_special_tokens
        return " ".join(self.words[int(i)] for i in ids if int(i))


def table(count: int = 6) -> list[dict]:
    return [
        {
            "prompt": [{"role": "user", "content": f"What is it? {number}"}],
            "reward_model": {"style": "rule", "ground_truth": "red and blue make purple"},
            "extra_info": {"index": number},
            "data_source": "colours",
        }
        for number in range(count)
    ]


class Run:
    """A manager made from a config, and rollouts given to it as verl's agent loop does."""

    def __init__(self, folder: Path, spec: str = HASHING, rows: list[dict] | None = None, **changes) -> None:
        self.rows = table() if rows is None else rows
        self.tokenizer = Words()
        (folder / "reward.yaml").write_text(spec)
        for name in ("train", "val"):
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        reward = {
            "num_workers": 1,
            "custom_reward_function": {"path": None},
            "reward_model": {"enable": False},
            "reward_manager": {"source": "register", "name": changes.pop("name", "pgsrm"), "module": None},
        }
        section = {"spec": str(folder / "reward.yaml"), **changes.pop("pgsrm", {})}
        data = {"train_files": [str(folder / "train.jsonl")], "val_files": str(folder / "val.jsonl")}
        self.config = OmegaConf.create({"data": data, "pgsrm": section, "reward": {**reward, **changes}})

    def manager(self):
        return load_reward_manager(self.config, self.tokenizer, reward_router_address=None, reward_model_tokenizer=None)

    def proto(self, row: dict, response: str, padding: int = 2) -> DataProto:
        prompt, ids = [1, 1], self.tokenizer.encode(response)
        mask = [1] * (len(prompt) + len(ids)) + [0] * padding
        tensors = {
            "prompts": torch.tensor([prompt]),
            "responses": torch.tensor([ids + [0] * padding], dtype=torch.int64),
            "attention_mask": torch.tensor([mask]),
        }
        columns = {"raw_prompt": row["prompt"], **{name: row[name] for name in row if name != "prompt"}}
        return DataProto.from_dict(tensors, {name: np.array([value]) for name, value in columns.items()})

    def session(self, row: dict, outputs: list[tuple], manager=None) -> dict:
        """What verl's own agent loop gets for outputs of one session: (prompt's length, response, response mask)."""
        manager = manager or self.manager()

        class Worker(SimpleNamespace):
            def _compute_multi_modal_inputs(self, output, input_ids) -> dict:
                return {}

            def _compute_position_ids(self, input_ids, attention_mask, multi_modal_inputs, mm_processor_kwargs):
                return torch.zeros_like(input_ids)

            def _get_mm_processor_kwargs(self, audios) -> dict:
                return {}

        handle = SimpleNamespace(compute_score=SimpleNamespace(remote=manager.run_single))
        worker = Worker(config=self.config, reward_loop_worker_handles=[handle])
        made = [
            AgentLoopOutput(
                prompt_ids=[1] * length, response_ids=self.tokenizer.encode(said), response_mask=own, metrics={}
            )
            for length, said, own in outputs
        ]
        columns = {"raw_prompt": row["prompt"], **{name: row[name] for name in row if name != "prompt"}}
        asyncio.run(AgentLoopWorker._compute_score(worker, made, columns))
        return {"reward_score": made[-1].reward_score, **made[-1].extra_fields}

    def answer(self, pairs, manager=None) -> list[dict]:
        manager = manager or self.manager()

        async def ask():
            return await asyncio.gather(*(manager.run_single(self.proto(*pair)) for pair in pairs))

        return asyncio.run(ask())
