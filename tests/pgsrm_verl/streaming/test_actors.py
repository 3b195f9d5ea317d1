"""The encoder in shared Ray actors, with real Ray: routing, death, deadlines, and a place on the training GPUs."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch

pytest.importorskip("ray", reason="ray is not installed")

import ray
from ray import cloudpickle

from pgsrm_plugin.encoders.hashing import HashingEncoderSpec
from pgsrm_plugin.errors import ScorerError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.batching import MicroBatcher, MicroBatchSettings
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.types import Embeddings, RewardSample, TokenEncoder
from pgsrm_verl.settings import EncoderSettings
from pgsrm_verl.streaming.actors import ActorEncoder, replica_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the replicas cannot import this file
SPEC = HashingEncoderSpec(dimensions=64)
TEXTS = [f"text number {number}" for number in range(40)]


@pytest.fixture(scope="module", autouse=True)
def _ray():
    folder = tempfile.mkdtemp(prefix="pgray")
    ray.init(num_cpus=8, num_gpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
    yield
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


class Faulty:
    """The hashing encoder, with a diary of what it was asked, and faults that files in its folder call for.

    ``hold``: wait, saying so in ``held``, until the file is gone. ``exit``: end the process, once. ``exit-always``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inner = SPEC.build()
        self.identity = self.inner.identity

    def encode(self, texts):
        with (self.folder / "diary").open("a") as diary:
            diary.writelines(f"{os.getpid()} {text}\n" for text in texts)
        while (self.folder / "hold").exists():
            (self.folder / "held").write_text(str(os.getpid()))
            time.sleep(0.02)
        if (self.folder / "exit-always").exists():
            os._exit(1)
        if (self.folder / "exit").exists():
            (self.folder / "exit").unlink()
            os._exit(1)
        return self.inner.encode(texts)


class Broken:
    """Gives what it is told to: NaN, or an exception."""

    identity = "broken"

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def encode(self, texts):
        if self.fault == "nan":
            vectors_ND = torch.full((len(texts), 4), math.nan)
            return Embeddings(vectors_ND, torch.ones(len(texts), dtype=torch.int64), torch.zeros(len(texts)).bool())
        raise ValueError("out of memory, say")


def refuse():
    raise SpecError("there is no such model")


def settings(**changes) -> EncoderSettings:
    return EncoderSettings(**{"where": "actors", "replicas": 2, "deadline_s": 60, **changes})


@pytest.fixture
def shared(request):
    """Makes encoders whose replicas are this test's own, and ends them."""
    made = []

    def make(build, **changes) -> ActorEncoder:
        made.append(ActorEncoder(build, request.node.name, settings(**changes)))
        return made[-1]

    yield make
    for encoder in made:
        for handle in encoder._handles.values():
            ray.kill(handle)


def same(left: Embeddings, right: Embeddings) -> bool:
    """Equal in every column; a column that is left out is one of False."""
    none = torch.zeros(len(left.vectors_ND), dtype=torch.bool)
    pairs = [[getattr(side, name) for side in (left, right)] for name in left.__dataclass_fields__]
    return all(torch.equal(*(none if value is None else value for value in pair)) for pair in pairs)


def diary(folder: Path) -> list[tuple[str, str]]:
    return [tuple(line.split(" ", 1)) for line in (folder / "diary").read_text().splitlines()]


# --- routing -----------------------------------------------------------------------------------------------------


def test_it_equals_the_encoder_itself(shared):
    encoder, direct = shared(SPEC.build, replicas=3), SPEC.build()
    assert encoder.identity == direct.identity
    assert isinstance(encoder, TokenEncoder)
    for texts in (TEXTS, TEXTS[::-1], ["a", "a", ""], []):
        assert same(encoder.encode(texts), direct.encode(texts))
    for ask in (encoder.token_states, encoder.encode_with_states):
        with pytest.raises(ScorerError, match="has no token states; bertscore needs kind: hf"):
            ask(TEXTS)


class Spelt:
    """An encoder of one state a letter, which counts the texts that it is asked for."""

    identity = "spelt"

    def encode(self, texts):
        vectors_ND = torch.tensor([[1.0, len(text)] for text in texts]).reshape(len(texts), 2)
        flags_N = torch.zeros(len(texts), dtype=torch.bool)
        return Embeddings(vectors_ND, torch.tensor([len(text) for text in texts]), flags_N)

    def token_states(self, texts):
        return [torch.tensor([[float(ord(letter))] for letter in text]).reshape(len(text), 1) for text in texts]


def test_vectors_and_states_come_together_in_the_order_of_the_texts(shared):
    encoder, direct = shared(Spelt, replicas=3), Spelt()
    for texts in (TEXTS, TEXTS[::-1], [*TEXTS, TEXTS[0]], []):
        embeddings, states = encoder.encode_with_states(texts)
        assert same(embeddings, direct.encode(texts))
        assert [one.tolist() for one in states] == [one.tolist() for one in direct.token_states(texts)]
        assert [one.tolist() for one in encoder.token_states(texts)] == [one.tolist() for one in states]


def test_a_text_meets_the_same_replica_from_every_process_and_is_computed_once(shared, tmp_path):
    encoder = shared(partial(Faulty, tmp_path))

    @ray.remote(num_cpus=0)
    def elsewhere(texts):
        other = ActorEncoder(partial(Faulty, tmp_path), "test_a_text_meets_the_same_replica_from_every_process_and_is_"
                             "computed_once", settings())  # fmt: skip
        other.encode(texts)
        return [replica["pid"] for replica in other.replicas]

    encoder.encode(TEXTS)
    pids = [replica["pid"] for replica in encoder.replicas]
    assert len(set(pids)) == 2
    assert ray.get(elsewhere.remote(TEXTS[::-1]), timeout=60) == pids
    encoder.encode(TEXTS)
    written = diary(tmp_path)
    assert Counter(text for _, text in written) == Counter(TEXTS)
    assert {text: int(pid) for pid, text in written} == {text: pids[replica_of(text, 2)] for text in TEXTS}


def test_the_route_is_the_same_for_ever():
    assert [replica_of(text, 5) for text in ("", "a", "blue", "\ud800")] == [1, 3, 1, 4]


# --- death and deadlines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["SIGKILL", "ray.kill", "os._exit"])
def test_a_replica_killed_in_mid_call_comes_back_and_nothing_is_lost(how, shared, tmp_path):
    encoder = shared(partial(Faulty, tmp_path))
    before = [replica["pid"] for replica in encoder.replicas]
    (tmp_path / ("exit" if how == "os._exit" else "hold")).touch()

    async def run():
        answer = asyncio.get_running_loop().run_in_executor(None, encoder.encode, TEXTS)
        while how != "os._exit" and not (tmp_path / "held").exists():
            await asyncio.sleep(0.01)
        if how == "SIGKILL":
            os.kill(before[0], signal.SIGKILL)
        elif how == "ray.kill":
            ray.kill(encoder._handles[0])
        (tmp_path / "hold").unlink(missing_ok=True)
        return await asyncio.wait_for(answer, 90)

    assert same(asyncio.run(run()), SPEC.build().encode(TEXTS))
    after = [replica["pid"] for replica in encoder._call_all([(0, ()), (1, ())], "describe")]
    assert len(set(before) & set(after)) == 1, "one replica is another process now, the other the same"
    asked = Counter(text for _, text in diary(tmp_path))
    assert set(asked) == set(TEXTS)
    survivor = before[1] if after[1] == before[1] else before[0]
    assert all(asked[text] == 1 for pid, text in diary(tmp_path) if int(pid) == survivor)


def test_a_replica_that_dies_again_and_again_is_given_up_at_the_deadline(shared, tmp_path):
    encoder = shared(partial(Faulty, tmp_path), replicas=1)
    encoder._settings = settings(replicas=1, deadline_s=3)
    (tmp_path / "exit-always").touch()
    with pytest.raises(ScorerError, match=r"replica 0 (died, and did not come back .*|did not answer) within .*: 3;"):
        encoder.encode(TEXTS)
    (tmp_path / "exit-always").unlink()
    encoder._settings = settings(replicas=1)
    assert same(encoder.encode(TEXTS), SPEC.build().encode(TEXTS)), "and it works again later"


def test_a_replica_that_hangs_is_an_error_at_the_deadline(shared, tmp_path):
    encoder = shared(partial(Faulty, tmp_path), replicas=1)
    encoder._settings = settings(replicas=1, deadline_s=0.3)
    (tmp_path / "hold").touch()
    with pytest.raises(ScorerError, match=r"replica 0 did not answer within pgsrm\.encoder\.deadline_s: 0\.3; nothing"):
        encoder.encode(TEXTS)
    (tmp_path / "hold").unlink()
    encoder._settings = settings(replicas=1)
    assert same(encoder.encode(["x"]), SPEC.build().encode(["x"]))


def test_rewards_while_a_replica_dies_are_right_and_each_is_given_once(shared, tmp_path):
    spec = parse_spec("{encoder: {kind: hashing, dimensions: 64}, terms: {semantic: {}}, cache_mb: 0}")
    samples = [RewardSample("q", text, (TEXTS[number % 3],)) for number, text in enumerate(TEXTS * 3)]
    encoder = shared(partial(Faulty, tmp_path))
    reward, scored = SemanticReward(spec, encoder), Counter()

    def score(batch):
        values = reward.score(batch).total_B.tolist()
        scored.update(map(id, batch))
        return values

    async def run():
        batcher = MicroBatcher(score, MicroBatchSettings(max_rows=16, max_pending=64))
        calls = [asyncio.ensure_future(batcher.submit(sample)) for sample in samples]
        await calls[0]
        os.kill(encoder.replicas[1]["pid"], signal.SIGKILL)
        return [(await call).value for call in calls]

    assert asyncio.run(run()) == SemanticReward(spec).score(samples).total_B.tolist()
    assert scored == Counter(map(id, samples))


# --- a failing encoder -------------------------------------------------------------------------------------------


def test_nan_and_foreign_errors_of_a_replica_are_scorer_errors(shared):
    spec = parse_spec("{encoder: {kind: hashing}, terms: {semantic: {}}}")
    reward = SemanticReward(spec, shared(partial(Broken, "nan"), replicas=1))
    with pytest.raises(ScorerError, match="encoder broken returned a vector that is not finite for 2 of 2 texts"):
        reward.score([RewardSample("q", "a", ("b",))])


def test_a_foreign_error_of_a_replica_is_a_scorer_error(shared):
    with pytest.raises(ScorerError, match=r"(replica 0|encoder broken) failed: ValueError: out of memory, say"):
        shared(partial(Broken, "raise"), replicas=1).encode(["a"])


def test_an_encoder_that_cannot_be_built_says_why(shared):
    with pytest.raises(SpecError, match=r"^there is no such model$"):
        shared(refuse)


# --- on the training GPUs ----------------------------------------------------------------------------------------


def test_replicas_share_the_gpus_of_verls_pool(shared):
    with pytest.raises(SpecError, match="verl has placed no training GPUs in this Ray job; set it to 0"):
        shared(SPEC.build, gpus_per_replica=0.3)
    bundle = {"CPU": 3, "GPU": 1}  # as verl's RayResourcePool makes them
    pg = ray.util.placement_group([bundle, bundle], strategy="STRICT_PACK", name="global_poolverl_group_2:0")
    ray.get(pg.ready(), timeout=30)

    @ray.remote(num_gpus=1 / 3, num_cpus=1)
    class Actor:
        def gpus(self):
            return ray.get_gpu_ids()

    place = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
    trainers = [Actor.options(scheduling_strategy=place(pg, placement_group_bundle_index=i)).remote() for i in (0, 1)]
    encoder = shared(SPEC.build, gpus_per_replica=0.3, replicas=3)
    held = [str(ray.get(trainer.gpus.remote())[0]) for trainer in trainers]
    assert {replica["placement_group"] for replica in encoder.replicas} == {pg.id.hex()}
    assert [replica["gpus"] for replica in encoder.replicas] == [[held[0]], [held[1]], [held[0]]]
    assert same(encoder.encode(TEXTS), SPEC.build().encode(TEXTS))
    ray.util.remove_placement_group(pg)
