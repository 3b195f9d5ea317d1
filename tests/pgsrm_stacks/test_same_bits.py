"""The same eight rows through every stack: the same bits; and an outage is never a number."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from embedding_server import EmbeddingServer
from served import InThread, served
from stack_cases import BITS, CASES, Case, samples
from stack_drivers import DRIVERS, HERE, LIMITS, MARKS, SERVED, SLOW

from pgsrm_plugin.data.layouts import STOCK
from pgsrm_plugin.data.rows import Columns, parse_row
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.scorer import SPEC, URL
from pgsrm_plugin.serve.chat_templates import chat_template
from pgsrm_plugin.serve.prompt_index import PromptIndex
from pgsrm_plugin.spec import parse_spec
from pgsrm_plugin.types import RewardSample
from pgsrm_stacks import process_scorer

WAYS = [
    pytest.param(name, source, id=f"{name}-{source}", marks=[pytest.mark.slow] if name in SLOW else [])
    for name, driver in DRIVERS.items()
    for source in driver.sources
]


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Deadlines that a test can wait for, and the environment as it was."""
    monkeypatch.setattr(process_scorer, "LIMITS", LIMITS)
    monkeypatch.setenv("AREAL_SECONDS", "10")
    for name in (SPEC, URL):  # drivers set them
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """LLaMA-Factory's references, by the prompts as the driver templates them."""
    return lambda cases: PromptIndex([record_of(one) for one in cases], lambda prompt: prompt, chat_template("none")[1])


def record_of(one: Case):
    row = {"prompt": one.asked, "label": one.label}
    (record,) = parse_row(row, "prompt", responses=False, columns=Columns(usual=STOCK))
    return record


@pytest.fixture(scope="module")
def sources(tmp_path_factory, index):
    """The spec's path, and a service of it."""
    path = tmp_path_factory.mktemp("bits") / "spec.yaml"
    path.write_text(BITS)
    with InThread(SemanticReward(parse_spec(BITS)), index(CASES.values())) as service:
        yield {HERE: str(path), SERVED: service.url}


@pytest.mark.parametrize(("name", "source"), WAYS)
def test_the_same_bits(name, source, sources):
    driver = DRIVERS[name]
    direct = SemanticReward(parse_spec(BITS)).score(samples()).total_B
    expected = (direct.float() if driver.single else direct).tolist()
    assert len(set(expected)) >= 5, "rows that differ"
    assert driver.ask(list(CASES.values()), sources[source]) == expected


# --- prompts ----------------------------------------------------------------------------------------------------------

ABOUT = "name: about\nencoder: {kind: hashing, dimensions: 64}\nterms: {semantic: {}, relevance: {}}\n"
ABOUT_PROMPTS = [
    Case(asked, said, "sky", RewardSample(asked, said, ("sky",)))
    for asked, said in [("what is the sky", "the sky"), ("a blue bird", "a bird in the sky"), ("grass", "sky")]
]
WITHOUT_PROMPTS = ("EasyR1", "older verl and its forks")
"""Those that hand over none; their rows are told so."""


@pytest.fixture(scope="module")
def prompted(tmp_path_factory, index):
    path = tmp_path_factory.mktemp("about") / "spec.yaml"
    path.write_text(ABOUT)
    with InThread(SemanticReward(parse_spec(ABOUT)), index(ABOUT_PROMPTS)) as service:
        yield {HERE: str(path), SERVED: service.url}


@pytest.mark.parametrize(("name", "source"), [way for way in WAYS if way.values[0] not in WITHOUT_PROMPTS])
def test_the_prompt_reaches_the_reward(name, source, prompted):
    scored = SemanticReward(parse_spec(ABOUT)).score([one.sample for one in ABOUT_PROMPTS])
    assert len(set(scored.terms["relevance"].tolist())) == 3
    expected = (scored.total_B.float() if DRIVERS[name].single else scored.total_B).tolist()
    assert DRIVERS[name].ask(ABOUT_PROMPTS, prompted[source]) == expected


# --- outages ----------------------------------------------------------------------------------------------------------

WARM = [Case("warm", "blue", "blue", RewardSample("warm", "blue", ("blue",)))]
ALL = [*WARM, *CASES.values()]
ASKED = [one for one in CASES.values() if one.said]
"""Rows that need the encoder: an empty answer has the reward that the spec says, whatever fails."""


def outcome(name, cases, source):
    """``stops``, ``marks`` or the numbers."""
    try:
        rewards = DRIVERS[name].ask(cases, source)
    except Exception as error:
        if type(error).__name__ not in DRIVERS[name].errors:
            raise
        return "stops", error
    numbers = [one for one in rewards if one is not None and math.isfinite(one)]
    return ("numbers", numbers) if numbers else ("marks", rewards)


def expected(name):
    return "marks" if name in MARKS else "stops"


def distant(folder, endpoint, timeout_s):
    """A spec whose encoder is an endpoint."""
    path = folder / "distant.yaml"
    encoder = f"{{kind: http, base_url: {endpoint.url}, model: letters, timeout_s: {timeout_s}, retries: 0}}"
    path.write_text(f"encoder: {encoder}\nterms: {{semantic: {{}}}}\n")
    return path


@pytest.mark.parametrize("fault", ["500", "slow"])
@pytest.mark.parametrize(("name", "source"), WAYS)
def test_a_failing_or_hanging_encoder_is_never_a_number(name, source, fault, tmp_path, index, request):
    with EmbeddingServer(slow_s=3) as endpoint:
        path = distant(tmp_path, endpoint, timeout_s=0.5)
        if source == HERE:
            place = str(path)
        else:
            service = InThread(SemanticReward(parse_spec(path.read_text())), index(ALL)).__enter__()
            request.addfinalizer(service.__exit__)
            place = service.url
        assert outcome(name, WARM, place) == ("numbers", pytest.approx([1.0])), "it works before"
        endpoint.faults += [fault] * 1000
        assert outcome(name, ASKED, place)[0] == expected(name)
        assert fault in endpoint.served


def killed_under(names, folder):
    """What becomes of stacks that wait for one service when it is killed."""
    references = folder / "prompts.jsonl"
    references.write_text("".join(json.dumps({"prompt": one.asked, "label": one.label}) + "\n" for one in ALL))
    options = ("--references", str(references), "--chat-template", "none")
    with (
        EmbeddingServer(slow_s=600) as endpoint,
        ThreadPoolExecutor(len(names)) as pool,
        served(distant(folder, endpoint, timeout_s=300), *options) as service,
    ):
        service.ready()
        for name in names:
            assert outcome(name, WARM, service.url) == ("numbers", pytest.approx([1.0]))
        endpoint.faults += ["slow"] * 1000
        asked = {name: pool.submit(outcome, name, ASKED, service.url) for name in names}
        until = time.monotonic() + 60
        while "slow" not in endpoint.served and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(1.5)
        assert [one.result() for one in asked.values() if one.done()] == [], "all wait"
        service.process.kill()
        return {name: one.result() for name, one in asked.items()}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    names = [name for name, one in DRIVERS.items() if SERVED in one.sources and one.has_client() and name not in SLOW]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process_scorer, "LIMITS", LIMITS)
        for name in (SPEC, URL):  # drivers set them
            patched.setenv(name, "")
            patched.delenv(name)
        return killed_under(names, tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("name", [name for name, one in DRIVERS.items() if SERVED in one.sources and name not in SLOW])
def test_a_service_that_is_killed_is_never_a_number(name, killed):
    if name not in killed:
        pytest.skip("its wheel is not there; `make stack-wheels` fetches it")
    assert killed[name][0] == expected(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_service_that_is_killed_is_never_a_number_to_these_either(name, tmp_path):
    assert killed_under([name], tmp_path)[name][0] == expected(name)
