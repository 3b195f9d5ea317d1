"""Embeddings kept: in memory, on disk, for one batch."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from pgsrm_plugin.section import Section, beside_spec


class DiskCacheSpec(Section):
    """Embeddings kept on disk, for any number of processes and runs; texts only as digests."""

    folder: Path = Field(description="made if missing; '~' is understood, a relative path starts at the spec's folder")
    max_mb: float = Field(4096.0, ge=16, description="bound for the folder; what was used longest ago goes")

    _resolve = field_validator("folder", mode="before")(beside_spec)
