#!/bin/sh
# ms-swift's GRPO with the reward that PGSRM_URL or PGSRM_SPEC names. Your own arguments come behind:
#   PGSRM_URL=http://127.0.0.1:8900 sh recipes/stacks/swift.sh --model Qwen/Qwen2.5-0.5B-Instruct --dataset mine.jsonl ...
exec swift rlhf --rlhf_type grpo \
  --external_plugins "$(python -m pgsrm_stacks.swift)" \
  --reward_funcs pgsrm "$@"
