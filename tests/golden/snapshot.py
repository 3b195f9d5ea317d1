"""What must not change by moving code: rewards, messages, schema, fingerprints, identities and cache keys.

``python tests/golden/snapshot.py`` compares this tree with ``golden.json`` bit for bit (after ``--exact``) or within
tolerance, and ``--write FILE`` records it; a number that was wrong is recorded anew in a commit of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

from corpus import BROKEN_ROWS, BROKEN_SPECS, REFUSED_REWARDS, SAMPLES, SPECS

from pgsrm_plugin import PgsrmError, RewardSample, SemanticReward, load_spec, parse_spec
from pgsrm_plugin.encoders.cache.disk import DiskCache
from pgsrm_plugin.spec.jsonschema import json_schema
from pgsrm_plugin.spec.shipped import shipped_specs

GOLDEN = Path(__file__).with_name("golden.json")
_UNMEASURED = ("seconds",)


def snapshot() -> dict[str, Any]:
    """Everything, as JSON holds it; floats in hexadecimal, so that they are exact."""
    shipped = {name: load_spec(name) for name in shipped_specs()}
    own = {name: parse_spec(text) for name, text in SPECS.items()}
    return {
        "machine": {
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "processor": _processor(),
            "torch": version("torch"),
        },
        "rewards": {name: _scored(spec) for name, spec in {**shipped, **own}.items()},
        "fingerprints": {name: spec.fingerprint for name, spec in {**shipped, **own}.items()},
        "spec_messages": [
            _refusal(lambda text=text: parse_spec(text, "s.yaml", Path("/nowhere"))) for text in BROKEN_SPECS
        ],
        "reward_messages": [_refusal(lambda text=text: SemanticReward(parse_spec(text))) for text in REFUSED_REWARDS],
        "row_messages": list(_row_messages()),
        "schema": _without_suffix(json_schema()),
        "identities": dict(_identities()),
        "cache_keys": _cache_keys(),
    }


def _processor() -> str:
    """The model where the system tells: kernels of one instruction set may still differ between makers."""
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def _without_suffix(schema: dict[str, Any]) -> Any:
    """The schema with definitions called by what they are, with or without ``Spec`` at the end of the class's name."""
    text = re.sub(r'"((?:#/\$defs/)?[A-Z]\w*?)Spec"', r'"\1"', json.dumps(schema))
    return json.loads(text)


def _scored(spec: Any) -> dict[str, Any]:
    """The columns of the corpus's output: with the spec's own encoder where it is at hand, and with the hashing toy."""
    scored: dict[str, Any] = {}
    if spec.policy_terms:
        return scored  # there is no policy to ask
    if spec.encoder is None or "MiniLM" in spec.encoder.model_dump_json():
        scored["own"] = _columns(SemanticReward(spec))
    if spec.encoder is not None and "bertscore" not in spec.terms:
        scored["hashing"] = _columns(SemanticReward(spec, _hashing()))
    return scored


def _hashing() -> Any:
    return SemanticReward(parse_spec("{encoder: {kind: hashing, dimensions: 512}, terms: {semantic: {}}}")).encoder


def _columns(reward: SemanticReward) -> dict[str, list[str]]:
    output = reward.score(SAMPLES)
    columns = {name: value_B.tolist() for name, value_B in output.columns().items()}
    stats = {f"stats/{name}": [value] for name, value in output.stats.items() if not name.endswith(_UNMEASURED)}
    return {name: [float(value).hex() for value in values] for name, values in {**columns, **stats}.items()}


def _refusal(call: Any) -> str:
    try:
        call()
    except PgsrmError as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


def _row_messages() -> Iterator[str]:
    reward = SemanticReward(parse_spec(SPECS["rich-groups"]))
    for row in BROKEN_ROWS:
        yield _refusal(lambda row=row: reward.score([SAMPLES[0], row]))
    raising = SemanticReward(parse_spec("{terms: {bleu: {}}, unscorable: raise}"))
    yield _refusal(lambda: raising.score([RewardSample("p", "ok", ("ok",)), RewardSample("p", "", ("ok",))]))


def _identities() -> Iterator[tuple[str, str]]:
    minilm = "kind: hf, model: sentence-transformers/all-MiniLM-L6-v2, device: cpu"
    for section in (
        minilm,
        f"{minilm}, dtype: bfloat16, max_tokens: 32, prompt: 'query: '",
        "kind: hashing",
        "kind: http, base_url: 'http://127.0.0.1:9/v1', model: m, dimensions: 8",
    ):
        yield (
            section,
            SemanticReward(parse_spec(f"{{encoder: {{{section}}}, terms: {{semantic: {{}}}}}}")).encoder.identity,
        )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "v.txt").write_text("red 1 0\nblue 0 1\n")
        spec = parse_spec("{encoder: {kind: static, path: v.txt}, terms: {semantic: {}}}", folder=Path(folder))
        yield "static", SemanticReward(spec).encoder.identity.replace(folder, "FOLDER")


def _cache_keys() -> dict[str, str]:
    """Names of the files, and keys in them, that a cache on disk would use; they depend on the libraries' versions."""
    with tempfile.TemporaryDirectory() as folder:
        cache = DiskCache(Path(folder), 16.0, "hashing:n3-d256")
        (own,) = Path(folder).iterdir()
        return {
            "libraries": (own / "identity.txt").read_text(),
            "folder": own.name,
            "key": cache._key("red\ud800").hex(),
        }


def differences(old: Any, new: Any, tolerance: float, at: str = "") -> Iterator[str]:
    """Where two snapshots differ; numbers may by ``tolerance`` (0: not in a bit)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in new or key not in old:
                yield f"{at}/{key}: only in the {'old' if key in old else 'new'} one"
            else:
                yield from differences(old[key], new[key], tolerance, f"{at}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, tolerance, f"{at}/{i}")
    elif old != new and not _near(old, new, tolerance):
        yield f"{at}: {old!r} became {new!r}"


def _near(old: Any, new: Any, tolerance: float) -> bool:
    if not (tolerance and isinstance(old, str) and isinstance(new, str) and "0x" in old and "0x" in new):
        return False
    return math.isclose(float.fromhex(old), float.fromhex(new), rel_tol=tolerance, abs_tol=tolerance)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="record this tree's snapshot")
    parser.add_argument("--against", type=Path, default=GOLDEN, help="what to compare with")
    parser.add_argument("--exact", action="store_true", help="every bit; both snapshots from one machine")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    taken = snapshot()
    if arguments.write:
        arguments.write.write_text(json.dumps(taken, indent=1, sort_keys=True, ensure_ascii=True) + "\n")
    else:
        found = list(differences(json.loads(arguments.against.read_text()), taken, 0.0 if arguments.exact else 1e-6))
        print("\n".join(found[:50]) or "no difference")
        sys.exit(bool(found))
