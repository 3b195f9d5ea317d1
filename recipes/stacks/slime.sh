#!/bin/sh
# slime with the reward of a service (`pgsrm serve pgsrm`), from slime's own folder. Your own arguments come behind:
#   sh recipes/stacks/slime.sh --hf-checkpoint ... --prompt-data mine.jsonl --label-key answer ...
exec python3 train.py \
  --rm-type remote_rm \
  --rm-url "${PGSRM_URL:-http://127.0.0.1:8900}/slime" \
  --reward-key score "$@"
