"""Registers the environment `pgsrm`, then runs NeMo-RL's own program with what stands behind it:

uv run python recipes/stacks/nemo_rl.py examples/run_grpo.py --config mine.yaml
"""

import runpy
import sys

from pgsrm_stacks.nemo_rl import register

if __name__ == "__main__":
    register()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
