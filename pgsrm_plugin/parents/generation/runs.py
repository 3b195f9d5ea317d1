"""How a store's answers were asked for, so that what failed can be asked again without retyping it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgsrm_plugin.asking.engines.settings import without_secrets
from pgsrm_plugin.asking.store.answers import ParentConfig
from pgsrm_plugin.asking.store.database import store_errors
from pgsrm_plugin.data.whole import write_whole
from pgsrm_plugin.endpoint import show_address
from pgsrm_plugin.errors import StoreError
from pgsrm_plugin.parents.export.references import settings_id

NAME = "runs.json"


def keep_run(folder: Path, config: ParentConfig, settings: Mapping[str, Any]) -> None:
    """Notes the engine's settings under the config's id. What may be a secret is left out: an address with anything
    that is not shown, and arguments whose name says so."""
    kept = without_secrets(settings)
    if isinstance(kept.get("engine_args"), Mapping):
        kept["engine_args"] = without_secrets(kept["engine_args"])
    address = str(kept.get("base_url", ""))
    if show_address(address) != address:
        del kept["base_url"]
    runs = load_runs(folder)
    if runs.get(settings_id(config)) != kept:
        content = json.dumps({**runs, settings_id(config): kept}, indent=1, default=str).encode()
        with store_errors(folder / NAME):
            write_whole(folder / NAME, content, mode=0o600)


def load_runs(folder: Path) -> dict[str, dict[str, Any]]:
    """The engine's settings by the id of the config.

    Raises:
        StoreError: the file is damaged.
    """
    path = folder / NAME
    try:
        runs = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); delete it, and name the engine's settings again") from None
    return runs if isinstance(runs, dict) else {}
