"""A worker process is killed; the runs that were not in it go on."""

import pytest

pytest.importorskip("lightning")

from killed_runs import Doomed, attempt
from rich.progress import Progress

from pgsrm_lab.pool import workers
from pgsrm_lab.reproduce.run import KILLED, _Follower


def test_a_killed_run_is_tried_once_more_and_takes_no_other_with_it(tmp_path):
    once, always = Doomed("once", tmp_path, kills=1), Doomed("always", tmp_path, kills=9)
    others = [Doomed(f"other{number}", tmp_path) for number in range(3)]
    with Progress(disable=True) as progress, workers(1) as pool:
        failed = _Follower(progress, pool)("runs", [once, others[0], always, *others[1:]], attempt, steps=2)
    assert [(outcome.job.name, outcome.error) for outcome in failed] == [("always", KILLED)]
    assert (once.begun, always.begun) == (2, 2)
    assert [other.begun for other in others] == [1, 1, 1]
