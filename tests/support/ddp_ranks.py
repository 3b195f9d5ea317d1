"""Run by test_distributed.py of pgsrm_lightning: two processes over gloo, each writing what it saw and its weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy

from pgsrm_lightning import GRPOConfig, KLConfig, PPOConfig, PromptData, RLModule, RolloutLog, SamplingConfig
from pgsrm_plugin import parse_spec

TEXT = "encoder: {kind: hashing}\nterms: {semantic: {}}\nunscorable: mask\n"
SPEC = parse_spec(TEXT)
LEARNING = parse_spec(TEXT + "credit: {kind: implicit_prm, alpha: 5, beta: 0.5, lr: 1.0e-3}")
"""Of the algorithm ``grpo-prm``."""
SHARED = {"group_size": 2, "epochs": 2, "minibatches": 4, "micro_batch_size": 1, "lr_actor": 1e-3}


class Witness(Callback):
    def __init__(self, folder: Path) -> None:
        self.folder, self.prompts, self.metrics = folder, [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.prompts.append([record.prompt for record in batch.records])
        self.metrics.append({n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("train/")})

    def on_train_end(self, trainer, module):
        torch.save(module.state_dict(), self.folder / f"weights_{trainer.global_rank}.pt")
        validation = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith("val/")}
        seen = {"prompts": self.prompts, "metrics": self.metrics, "val": validation}
        (self.folder / f"seen_{trainer.global_rank}.json").write_text(json.dumps(seen))


def main(algorithm: str, child: str, train: str, val: str, folder: str) -> None:
    torch.set_num_threads(1)
    config = PPOConfig(kl=KLConfig(0.05), **SHARED) if algorithm == "ppo" else GRPOConfig(**SHARED)
    spec = LEARNING if algorithm.endswith("-prm") else SPEC
    module = RLModule(child, spec, config, SamplingConfig(max_new_tokens=2, eval_batch_size=2), seed=1)
    # 3 prompts on two processes: two on one, one on the other, whose 2 rows do not even fill 4 minibatches.
    data = PromptData(train, {"held_out": val}, prompts_per_step=3, steps=3)
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy=DDPStrategy(process_group_backend="gloo"),
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[Witness(Path(folder)), RolloutLog(f"{folder}/rollouts.jsonl", every=1, rows=2)],
    )
    trainer.fit(module, data)


if __name__ == "__main__":
    main(*sys.argv[1:])
