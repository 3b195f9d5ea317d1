"""TRL's GRPO (or RLOO) on a semantic reward:

    python recipes/stacks/trl_grpo.py --model Qwen/Qwen2.5-0.5B-Instruct --data mine.jsonl --reward pgsrm

Rows have `prompt` (text or messages) and `answer` or `references`. `--reward` is a spec or the address of a service.
"""

import argparse

from datasets import load_dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from pgsrm_stacks.trl import TrlReward

ALGORITHMS = {"grpo": (GRPOConfig, GRPOTrainer), "rloo": (RLOOConfig, RLOOTrainer)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="a .jsonl file")
    parser.add_argument("--reward", default="pgsrm")
    parser.add_argument("--algorithm", default="grpo", choices=sorted(ALGORITHMS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--group", type=int, default=8, help="answers to a prompt")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer, at most")
    parser.add_argument("--lr", type=float, default=1e-6)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--out", default="runs/trl")
    args = parser.parse_args()
    config, trainer = ALGORITHMS[args.algorithm]
    settings = config(
        output_dir=args.out,
        max_steps=args.steps,
        num_generations=args.group,
        per_device_train_batch_size=4 * args.group,
        max_completion_length=args.tokens,
        learning_rate=args.lr,
        use_cpu=args.cpu,
        bf16=not args.cpu,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
    )
    data = load_dataset("json", data_files=args.data, split="train")
    trainer(args.model, reward_funcs=TrlReward(args.reward), args=settings, train_dataset=data).train()


if __name__ == "__main__":
    main()
