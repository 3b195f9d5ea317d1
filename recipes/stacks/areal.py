"""AReaL's GRPO with the reward of a service (`pgsrm serve pgsrm`; PGSRM_URL):

PGSRM_URL=http://127.0.0.1:8900 python recipes/stacks/areal.py --config mine.yaml
"""

import sys

from areal import PPOTrainer
from areal.api.cli_args import GRPOConfig, load_expr_config
from areal.dataset import get_custom_dataset
from areal.utils.hf_utils import load_hf_tokenizer

WORKFLOW = "areal.workflow.rlvr.RLVRWorkflow"


def main() -> None:
    config, _ = load_expr_config(sys.argv[1:], GRPOConfig)
    tokenizer = load_hf_tokenizer(config.tokenizer_path)
    data = get_custom_dataset(split="train", dataset_config=config.train_dataset, tokenizer=tokenizer)
    settings = {
        "reward_fn": "pgsrm_stacks.areal.reward",
        "gconfig": config.gconfig,
        "tokenizer": config.tokenizer_path,
    }
    with PPOTrainer(config, train_dataset=data) as trainer:
        trainer.train(workflow=WORKFLOW, workflow_kwargs=settings)


if __name__ == "__main__":
    main()
