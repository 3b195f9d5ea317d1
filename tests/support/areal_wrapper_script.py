"""AReaL's own wrapper around our reward: rows as JSON on stdin, rewards as JSON at the end of stdout."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import sys
import types

from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_stacks import areal

package = types.ModuleType("areal")
package.__path__ = []
package.utils = types.ModuleType("areal.utils")
package.utils.logging = logging
sys.modules |= {"areal": package, "areal.utils": package.utils}


def main() -> None:
    spec = importlib.util.spec_from_file_location("areal.api.reward_api", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # The bounds of AReaL and of ours, in proportion; one worker, so that calls wait behind each other.
    scale = float(os.environ.get("AREAL_SECONDS", "15")) / 15
    areal.LIMITS = MicroBatchSettings(max_wait_ms=0, deadline_s=areal.LIMITS.deadline_s * scale)
    wrapper = module.AsyncRewardWrapper(areal.reward, timeout_seconds=15 * scale, max_workers=1)

    async def all_of_them() -> list[float]:
        asked = [
            wrapper(one["prompt"], one["text"], [1], [1], messages=one["messages"], answer=one["answer"])
            for one in json.load(sys.stdin)
        ]
        return await asyncio.gather(*asked)

    print(json.dumps(asyncio.run(all_of_them())))


if __name__ == "__main__":
    main()
