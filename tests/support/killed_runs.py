"""Runs whose process is killed, as by a machine that has no memory left."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from pgsrm_lab.pool import ProgressMessage, report
from pgsrm_lab.reproduce.worker import Outcome


@dataclass(frozen=True)
class Doomed:
    """A run that is killed in its first step so many times; ``folder`` gets a file for each time it begins."""

    name: str
    folder: Path
    kills: int = 0

    @property
    def begun(self) -> int:
        return len([*self.folder.glob(f"{self.name}-*")])


def attempt(job: Doomed) -> Outcome:
    (job.folder / f"{job.name}-{job.begun}").touch()
    report(ProgressMessage(job.name, 1))
    if job.begun <= job.kills:
        time.sleep(0.5)  # for the message to leave the process
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(job)  # type: ignore[arg-type]
