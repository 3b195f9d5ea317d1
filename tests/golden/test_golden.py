"""Moving code changes no reward, message, schema, fingerprint, identity or cache key."""

import json

import pytest
from snapshot import GOLDEN, differences, snapshot


@pytest.fixture(scope="module")
def pair():
    return json.loads(GOLDEN.read_text()), snapshot()


def test_words_and_names_are_those_recorded(pair):
    old, new = ({name: part for name, part in one.items() if name not in ("rewards", "machine")} for one in pair)
    assert list(differences(old, new, 0.0)) == []


def test_rewards_are_those_recorded(pair):
    old, new = pair
    # A model's last bits are the processor's; arithmetic on whole counts is the same wherever torch's kernels are.
    tolerance = {"own": 1e-5, "hashing": 0.0 if old["machine"] == new["machine"] else 1e-12}
    assert old["rewards"].keys() == new["rewards"].keys()
    found = [
        line
        for spec, by_encoder in old["rewards"].items()
        for encoder, columns in by_encoder.items()
        for line in differences(columns, new["rewards"][spec][encoder], tolerance[encoder], f"{spec}/{encoder}")
    ]
    assert found == []


def test_a_difference_is_seen():
    old = {"a": [(0.5).hex()], "b": "x"}
    assert list(differences(old, {"a": [(0.5 + 1e-16 * 8).hex()], "b": "x"}, 0.0))
    assert not list(differences(old, {"a": [(0.5 + 1e-16 * 8).hex()], "b": "x"}, 1e-9))
    assert not list(differences(old, dict(old), 0.0))
    assert list(differences(old, {"a": [(0.6).hex()], "b": "x"}, 1e-5))
    assert list(differences(old, {"a": [], "b": "x"}, 1e-5))
    assert list(differences(old, {"a": [(0.5).hex()]}, 1e-5))
    assert list(differences(old, {**old, "c": 1}, 1e-5))
