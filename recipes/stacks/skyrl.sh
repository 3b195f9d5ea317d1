#!/bin/sh
# SkyRL with the reward that PGSRM_URL or PGSRM_SPEC names. Your own arguments come behind:
#   PGSRM_URL=http://127.0.0.1:8900 sh recipes/stacks/skyrl.sh "data.train_data=['train.parquet']" trainer.policy.model.path=...
exec python -m pgsrm_stacks.skyrl environment.env_class=pgsrm "$@"
