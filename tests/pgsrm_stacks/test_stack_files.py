"""What each stack's file does beside the reward: numbers that are logged, specs that are refused, recipes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import stack_wheels as wheels
import yaml
from stack_cases import BITS, CASES
from stack_drivers import DRIVERS, HERE, LIMITS, name_source

from pgsrm_plugin.errors import DataError, SpecError
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.scorer.scorer import SPEC, URL
from pgsrm_stacks import process_scorer
from pgsrm_stacks.process_scorer import stack_use

RECIPES = Path(__file__).parents[2] / "recipes" / "stacks"


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(process_scorer, "LIMITS", LIMITS)
    for name in (SPEC, URL):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(BITS)
    return str(path)


# --- specs that a stack cannot use ------------------------------------------------------------------------------------


MASKING = ("TRL: GRPO", "TRL: RLOO", "verifiers, prime-rl", "your own code")
"""Those that leave rows out: test_trl.py, and the slow tests."""
REFUSING = [name for name, one in DRIVERS.items() if HERE in one.sources and name not in MASKING]


@pytest.mark.parametrize("name", REFUSING)
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("unscorable: mask", "unscorable: mask cannot take a response out of the loss of"),
        ("aggregate: group_normalised", "needs whole groups, and here responses come one by one"),
    ],
)
def test_specs_that_a_stack_cannot_use_are_refused(name, line, message, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(BITS + line + "\n")
    cases = list(CASES.values())
    if name == "OpenRLHF, a file":  # it swallows what is raised, and has no reward then
        assert DRIVERS[name].ask(cases, str(path)) == [None] * 8
        return
    with pytest.raises(SpecError, match=message):
        DRIVERS[name].ask(cases, str(path))


def test_what_stops_nothing_is_refused_where_the_stack_goes_on(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(BITS + "unscorable: raise\n")
    with pytest.raises(SpecError, match="unscorable: raise cannot stop verl's custom reward functions"):
        DRIVERS["verl's forks"].ask(list(CASES.values()), str(path))


@pytest.mark.slow
def test_verifiers_marks_what_the_spec_masks(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text(BITS + "unscorable: mask\n")
    name_source(str(path))
    pytest.importorskip("verifiers", reason="`make test-stacks` has a virtual environment with verifiers")
    from verifiers_tasks import score

    rewards = asyncio.run(score(list(CASES.values()), "UnscorableError"))
    assert [reward is None for reward in rewards] == [not one.said for one in CASES.values()]


# --- one scorer a process ---------------------------------------------------------------------------------------------


def test_a_process_has_one_scorer_of_a_source(source, monkeypatch):
    built = []
    monkeypatch.setattr(SemanticReward, "__init__", _counted(SemanticReward.__init__, built))
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: process_scorer.process_scorer(stack_use("x"), source), range(32)))
    assert (len(found), len(built)) == (1, 1)
    name_source(source)
    assert process_scorer.process_scorer(stack_use("y")) in found


def _counted(initialise, built):
    def counted(self, *args, **named):
        built.append(self)
        time.sleep(0.2)  # as long as others need to come
        initialise(self, *args, **named)

    return counted


def test_a_data_sets_own_answers_give_way():
    row = process_scorer.row_of("p", "said", {"response": "x", "responses": ["y"], "group": {}, "answer": "a"})
    assert row == {"prompt": "p", "response": "said", "answer": "a"}


@pytest.mark.parametrize("key", ["url", "spec", "sorce"])
def test_a_setting_that_means_the_source_is_not_ignored(key, source):
    DRIVERS["NeMo-RL"].ask(list(CASES.values())[:1], source)  # its interface is known from here on
    from pgsrm_stacks import easyr1, nemo_rl, verl_function

    name_source(source)
    ours = {"data_source": "x", "solution_str": "red", "ground_truth": "red"}
    verls = {"reward_router_address": None, "reward_model_tokenizer": None}
    assert verl_function.compute_score_sync(**ours, **verls)["acc"] == 1.0
    for ask in (
        lambda: verl_function.compute_score_sync(**ours, **verls, **{key: "pgsrm"}),
        lambda: easyr1.compute_score([], **{key: "pgsrm"}),
        lambda: nemo_rl.SemanticEnvironment({key: "pgsrm"}),
    ):
        with pytest.raises(SpecError, match=f"there is no setting {key!r}; a spec or an address is named by 'source'"):
            ask()


# --- numbers beside the reward ----------------------------------------------------------------------------------------


def test_ms_swift_has_a_function_a_term(source):
    import torch

    from pgsrm_stacks import swift

    compute, orms = wheels.swift_rewards()
    name_source(source)
    orms.clear()
    wheels.by_path("_swift_external_pgsrm", swift.__file__)
    assert list(orms) == ["pgsrm", "pgsrm_semantic", "pgsrm_exact_match", "pgsrm_repetition"]
    assert [orms[name].__name__ for name in orms] == list(orms), "what ms-swift logs"
    sample = wheels.GrpoSample(
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": "red"}], answer="red"
    )
    rewards = compute([sample], [orms[name](args=None) for name in orms], None, torch.device("cpu"))
    assert rewards[0].tolist() == pytest.approx([0.9, 1.0, 1.0, 0.0])


def test_ms_swifts_plugin_stands_where_it_hides_no_package():
    ran = subprocess.run([sys.executable, "-m", "pgsrm_stacks.swift"], capture_output=True, text=True, check=True)
    folder = Path(ran.stdout.strip()).parent
    assert sorted(path.name for path in folder.glob("*.py")) == ["__init__.py", "__main__.py"]


@pytest.mark.parametrize("name", ["openrlhf", "easyr1"])
def test_a_file_says_where_it_is(name):
    ran = subprocess.run([sys.executable, "-m", f"pgsrm_stacks.{name}"], capture_output=True, text=True, check=True)
    assert Path(ran.stdout.strip()).name == f"{name}.py"
    assert Path(ran.stdout.strip()).is_file()


def test_skyrl_and_easyr1_log_every_number(source):
    from pgsrm_stacks.easyr1 import compute_score

    wheels.skyrl_gym()
    from pgsrm_stacks.skyrl import SemanticEnv

    name_source(source)
    (score,) = compute_score([{"response": "red", "response_length": 1, "ground_truth": "red"}])
    assert (score["overall"], score["pgsrm/semantic"], score["pgsrm/acc"]) == pytest.approx((0.9, 1.0, 1.0))
    env = SemanticEnv(extras={"answer": "red"})
    env.init([{"role": "user", "content": "q"}])
    assert env.step("red")["done"]
    assert env.get_metrics() == {name: value for name, value in score.items() if name != "overall"}


def test_nemo_rl_logs_the_means_since_it_was_last_asked(source):
    DRIVERS["NeMo-RL"].ask(list(CASES.values())[:1], source)  # its interface is known from here on
    from pgsrm_stacks.nemo_rl import SemanticEnvironment

    env = SemanticEnvironment({"source": source})
    for said in (["red", "green"], ["red"]):
        logs = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": one}] for one in said]
        env.step(logs, [{"ground_truth": "red"}] * len(said))
        batch, metrics = env.global_post_process_and_metrics({"a": 1})
        assert (batch, metrics["pgsrm/exact_match"]) == ({"a": 1}, 1 / len(said))
    assert env.global_post_process_and_metrics({}) == ({}, {})


def test_slime_gives_groups_and_reads_metadata(source):
    from pgsrm_stacks.slime import reward

    name_source(source)
    samples = [
        SimpleNamespace(prompt="q", response="red", label="x", metadata={"references": ["red"], "ground_truth": "red"}),
        SimpleNamespace(prompt="q", response="red", label="green", metadata=None),
    ]
    group = asyncio.run(reward(None, samples))
    assert [one["pgsrm/exact_match"] for one in group] == [1.0, 0.0]
    assert asyncio.run(reward(None, samples[1])) == group[1]


def test_verls_function_has_the_prompt_that_extra_info_has(tmp_path):
    from pgsrm_stacks.verl_function import compute_score_sync

    path = tmp_path / "spec.yaml"
    path.write_text("encoder: {kind: hashing}\nterms: {semantic: {}, relevance: {}}\n")
    row = {"data_source": "x", "solution_str": "red", "ground_truth": "red", "source": str(path)}
    found = compute_score_sync(**row, extra_info={"question": "red"})
    assert (found["score"], found["acc"], found["pgsrm/relevance"]) == (2.0, 1.0, 1.0)
    with pytest.raises(DataError, match="field 'prompt' is empty, and term 'relevance' compares with it"):
        compute_score_sync(**row)


def test_areal_wants_a_service(source):
    from pgsrm_stacks.areal import reward

    name_source(source)
    with pytest.raises(
        SpecError, match="AReaL gives a reward 15 s, too little to load an encoder: start `pgsrm serve`"
    ):
        reward("q", "red", [1], [1], answer="red")


# --- recipes ----------------------------------------------------------------------------------------------------------

ARGUMENTS = {
    "openrlhf.sh": ["--reward.remote_url http://h:1/get_reward", "--data.label_key answer"],
    "swift.sh": ["rlhf --rlhf_type grpo", "--external_plugins PATH --reward_funcs pgsrm"],
    "slime.sh": ["--rm-type remote_rm --rm-url http://h:1/slime --reward-key score"],
    "skyrl.sh": ["-m pgsrm_stacks.skyrl environment.env_class=pgsrm"],
    "easyr1.sh": ["worker.reward.reward_function=PATH:compute_score"],
    "verl_function.sh": ["reward.custom_reward_function.path=pkg://pgsrm_stacks.verl_function"],
}


@pytest.mark.parametrize("name", sorted(path.name for path in RECIPES.glob("*.sh")))
def test_a_shell_recipe_gives_its_stack_the_lines(name, tmp_path):
    for tool in ("python", "python3", "swift"):
        stub = tmp_path / tool
        stub.write_text(
            '#!/bin/sh\ncase "$2" in pgsrm_stacks.swift | pgsrm_stacks.easyr1) echo PATH ;; *) echo "$@" ;; esac\n'
        )
        stub.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PGSRM_URL": "http://h:1"}
    ran = subprocess.run(
        ["sh", str(RECIPES / name), "--my", "own"], env=env, capture_output=True, text=True, check=True
    )
    for words in [*ARGUMENTS[name], "--my own"]:
        assert words in ran.stdout


def test_recipes_of_configs_name_what_there_is():
    toml = pytest.importorskip("tomllib", reason="Python 3.11")
    with (RECIPES / "verifiers.toml").open("rb") as file:
        task = toml.load(file)["orchestrator"]["train"]["source"]["env"]["taskset"]["task"]
    from pgsrm_stacks import verifiers

    assert task["rewards"]["pgsrm"]["fn"] == f"{verifiers.__name__}.{verifiers.reward.__name__}"
    assert task["metrics"]["pgsrm_terms"]["fn"] == f"{verifiers.__name__}.{verifiers.terms.__name__}"
    config = yaml.safe_load((RECIPES / "llama_factory.yaml").read_text())
    assert (config["stage"], config["reward_model_type"]) == ("ppo", "api")
    assert config["reward_model"].endswith(DRIVERS["LLaMA-Factory"].add.rpartition("8900")[2].strip("`"))


@pytest.mark.parametrize("name", ["areal.py", "nemo_rl.py"])
def test_a_python_recipe_compiles(name):
    compile((RECIPES / name).read_text(), name, "exec")
