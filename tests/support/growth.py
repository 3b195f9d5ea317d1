"""How the work on a text grows with its length, whatever the machine does beside it."""

import time
from collections.abc import Callable


def grows_evenly(work: Callable[[str], object], text: str, attempts: int = 5) -> bool:
    """Whether a text takes less than nine times the processor time of its first quarter.

    A scan takes four times as long, a scan within a scan sixteen times. The least of the times so far is taken, as what
    else the machine does can only add.
    """
    part = text[: len(text) // 4]
    least = {part: float("inf"), text: float("inf")}
    for _ in range(attempts):
        for each in least:
            started = time.process_time()
            work(each)
            least[each] = min(least[each], time.process_time() - started)
        if least[text] < 9 * least[part]:
            return True
    return False
