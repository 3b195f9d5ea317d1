#!/bin/sh
# EasyR1 with the reward that PGSRM_URL or PGSRM_SPEC names. Your own arguments come behind:
#   PGSRM_SPEC=pgsrm sh recipes/stacks/easyr1.sh config=examples/config.yaml data.answer_key=answer ...
exec python3 -m verl.trainer.main \
  worker.reward.reward_function="$(python3 -m pgsrm_stacks.easyr1):compute_score" "$@"
