#!/bin/sh
# verl, or a fork of it, with its own reward manager and the reward that PGSRM_URL or PGSRM_SPEC names. Your own arguments
# come behind:
#   PGSRM_URL=http://127.0.0.1:8900 sh recipes/stacks/verl_function.sh data.train_files=train.parquet ...
exec python3 -m verl.trainer.main_ppo \
  reward.custom_reward_function.path=pkg://pgsrm_stacks.verl_function \
  reward.custom_reward_function.name=compute_score "$@"
