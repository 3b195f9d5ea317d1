"""The Ray actors that hold the encoder, and where they are placed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import ray
import torch
from ray.actor import ActorHandle
from ray.util.placement_group import PlacementGroup, get_placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from pgsrm_plugin.encoders.cache.memory import CachedEncoder
from pgsrm_plugin.encoders.cache.shards import Embedded
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.types import Embeddings, Encoder
from pgsrm_verl.compat import POOL_NAME
from pgsrm_verl.settings import EncoderSettings


class EncoderReplica:
    """An encoder with its cache, in a process of its own.

    The encoder is built at the first call. What the building raises goes to the caller, and the next call tries again:
    a constructor that raises would leave Ray a dead actor, and its callers without the reason.

    Args:
        build: makes the encoder.
        cache_mb: memory for embeddings kept between calls.
    """

    def __init__(self, build: Callable[[], Encoder], cache_mb: float) -> None:
        self._build = build
        self._cache_mb = cache_mb
        self._kept: CachedEncoder | None = None

    @property
    def _cached(self) -> CachedEncoder:
        if self._kept is None:
            self._kept = CachedEncoder(self._build(), self._cache_mb)
        return self._kept

    def describe(self) -> dict[str, Any]:
        """The encoder's ``identity``; this replica's ``pid``, ``node``, ``gpus`` (ids) and ``placement_group``."""
        context = ray.get_runtime_context()
        return {
            "identity": self._cached.encoder.identity,
            "pid": os.getpid(),
            "node": context.get_node_id(),
            "gpus": context.get_accelerator_ids().get("GPU", []),
            "placement_group": context.get_placement_group_id(),
        }

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """See :meth:`pgsrm_plugin.types.Encoder.encode`; each text is computed once while the cache keeps it."""
        if not texts:
            return self._cached.encoder.encode(texts)
        found, _ = self._cached.embed(texts)
        return _in_order([found[text] for text in texts])

    def token_states(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """See :meth:`pgsrm_plugin.types.TokenEncoder.token_states`."""
        states = self._cached.token_states(texts)
        return [states[text] for text in texts]

    def encode_with_states(self, texts: Sequence[str]) -> tuple[Embeddings, list[torch.Tensor]]:
        """See :meth:`pgsrm_plugin.types.OnePassEncoder.encode_with_states`; at least one text."""
        looked = self._cached.look_up(texts, states=True)
        states = looked.states | self._cached.token_states([text for text in texts if text not in looked.states])
        return _in_order([looked.found[text] for text in texts]), [states[text] for text in texts]


def _in_order(rows: Sequence[Embedded]) -> Embeddings:
    return Embeddings(
        torch.stack([row.vector_D for row in rows]),
        torch.tensor([row.tokens for row in rows]),
        torch.tensor([row.truncated for row in rows]),
        torch.tensor([row.unknown for row in rows]),
    )


def obtain(
    name: str, number: int, build: Callable[[], Encoder], cache_mb: float, settings: EncoderSettings
) -> ActorHandle[EncoderReplica]:
    """A replica by name and number, made if there is none: every process of one Ray job gets the same actor.

    The process that made it must keep the handle: Ray ends an actor whose maker has let go of it.

    Raises:
        SpecError: a GPU share is asked for, and the trainer has no placement group to take it from.
    """
    options = {
        "name": f"{name}-{number}",
        "get_if_exists": True,
        "max_restarts": -1,  # whoever calls sends again what was lost
        "num_gpus": settings.gpus_per_replica,
        "scheduling_strategy": "SPREAD",  # on CPUs, replicas of one node would share its cores
    }
    if settings.gpus_per_replica > 0:
        # verl's placement groups hold every GPU, so a share is to be had only inside one of them.
        bundles = training_bundles()
        group, bundle = bundles[number % len(bundles)]
        options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle)
    handle = ray.remote(EncoderReplica).options(**options).remote(build, cache_mb)
    assert isinstance(handle, ActorHandle)  # Ray's types say "or the class", so that editors know its methods
    return handle


def training_bundles() -> list[tuple[PlacementGroup, int]]:
    """The bundles of verl's training pool in this Ray job, one a GPU, in the order of their names.

    Raises:
        SpecError: there are none.
    """
    job = ray.get_runtime_context().get_job_id()  # an id of Ray's ends with the id of its job
    placed = [pg for pg in placement_group_table().values() if pg["placement_group_id"].endswith(job)]
    bundles = []
    for name in sorted(pg["name"] for pg in placed if pg["name"].startswith(POOL_NAME) and pg["state"] == "CREATED"):
        pg = get_placement_group(name)
        bundles += [(pg, i) for i, bundle in enumerate(pg.bundle_specs) if bundle.get("GPU", 0) > 0]
    if not bundles:
        raise SpecError(
            "pgsrm.encoder.gpus_per_replica is above 0, and verl has placed no training GPUs in this Ray job; "
            "set it to 0 to encode on the CPU"
        )
    return bundles
