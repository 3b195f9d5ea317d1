"""One system in a process of its own: ``python -m pgsrm_lab.bench.training.step_worker ours|trl SETTINGS``."""

from __future__ import annotations

import importlib
import os
import sys
import warnings

SYSTEMS = {"ours": "pgsrm_lab.bench.training.our_steps", "trl": "pgsrm_lab.bench.training.trl_steps"}


def main(system: str, text: str) -> None:
    """Takes steps in turn, until stdin ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no result
    warnings.filterwarnings("ignore")
    import torch

    from pgsrm_lab.bench.training.step_settings import StepSettings, Turns

    settings = StepSettings.parse(text)
    torch.set_num_threads(settings.threads)
    take_steps = importlib.import_module(SYSTEMS[system]).take_steps
    if system == "trl":
        import trl  # noqa: F401 (before the memory is measured: libraries are no part of a step)
    take_steps(settings, Turns(settings, out))


if __name__ == "__main__":
    main(*sys.argv[1:])
