#!/bin/sh
# OpenRLHF with the reward of a service (`pgsrm serve pgsrm`). Your own arguments come behind:
#   sh recipes/stacks/openrlhf.sh --actor.model_name_or_path Qwen/Qwen2.5-0.5B-Instruct --data.prompt_dataset mine.jsonl ...
exec python -m openrlhf.cli.train_ppo_ray \
  --reward.remote_url "${PGSRM_URL:-http://127.0.0.1:8900}/get_reward" \
  --data.label_key "${LABEL_KEY:-answer}" "$@"
