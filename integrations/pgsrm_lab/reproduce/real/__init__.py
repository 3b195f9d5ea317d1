"""The PGSRM paper's tasks with a pretrained child: chat prompts, no warm start, GRPO and PPO."""
