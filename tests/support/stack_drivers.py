"""Each stack as it asks for rewards: its own client where it can be had, else a caller as the stack's source has it.

``DRIVERS[name].ask(cases, source)`` gives what the stack would train on, a number or None a row, or raises where it
stops. ``source`` is the path of a spec or the address of a service.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import types
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import stack_wheels as wheels
from stack_cases import Case

from pgsrm_plugin.scorer.batching import MicroBatchSettings
from pgsrm_plugin.scorer.scorer import SPEC, URL, Scorer

Rewards = list[float | None]
HERE, SERVED = "spec", "url"
DEADLINE_S = 6.0
LIMITS = MicroBatchSettings(max_wait_ms=2, deadline_s=DEADLINE_S)


@dataclass(frozen=True)
class Driver:
    """One stack.

    Attributes:
        ask: see above.
        client: what asks in the test.
        add: the lines to add.
        outage: how it stops, or what it does instead, when the scorer fails; :data:`MARKS` are those that do not stop
            at once.
        sources: what it can be given.
        single: whether its numbers are float32.
        wheel: what its client is read from.
        errors: what it raises, if it does.
        page: its page beside the table's.
    """

    ask: Callable[[Sequence[Case], str], Rewards]
    client: str
    add: str
    outage: str
    sources: tuple[str, ...] = (HERE, SERVED)
    single: bool = False
    wheel: str = ""
    errors: tuple[str, ...] = ("ScorerError",)
    page: str = ""

    def has_client(self) -> bool:
        """Whether the wheel of its client was fetched."""
        return not self.wheel or any(wheels.WHEELS.glob(f"{self.wheel}-*.whl"))


def name_source(source: str) -> None:
    """The environment says it, as for stacks that can only name a function."""
    name, other = (URL, SPEC) if "://" in source else (SPEC, URL)
    os.environ[name] = source
    os.environ.pop(other, None)


# --- ours -------------------------------------------------------------------------------------------------------------


def ask_scorer(cases: Sequence[Case], source: str) -> Rewards:
    with Scorer(source, limits=LIMITS) as scorer:
        rows = [{"prompt": one.prompt, "response": one.said, "label": one.label} for one in cases]
        return [row["reward"] for row in scorer.score_rows(rows)]


# --- TRL --------------------------------------------------------------------------------------------------------------


@cache
def trl_trainer(kind: str) -> Any:
    """A real trainer of a tiny model."""
    import trl
    from datasets import Dataset

    write_child = wheels.by_path("children", Path(__file__).parents[1] / "conftest.py").write_child
    config, trainer = getattr(trl, f"{kind}Config"), getattr(trl, f"{kind}Trainer")
    args = config(
        output_dir=mkdtemp(), use_cpu=True, report_to=[], num_generations=2, per_device_train_batch_size=2, bf16=False
    )
    rows = Dataset.from_list([{"prompt": "mix red", "label": "red"}])
    return trainer(model=write_child(Path(mkdtemp())), reward_funcs=[len], args=args, train_dataset=rows)


def ask_trl(kind: str, cases: Sequence[Case], source: str) -> Rewards:
    from pgsrm_stacks.trl import TrlReward

    trainer = trl_trainer(kind)
    trainer.reward_funcs = [TrlReward(source, limits=LIMITS)]
    prompts, said = [one.prompt for one in cases], [one.said for one in cases]
    inputs = [{"prompt": one.prompt, "label": one.label} for one in cases]
    rewards = trainer._calculate_rewards(inputs, prompts, said, [[1]] * len(cases))
    return [None if one != one else one for one in rewards[:, 0].tolist()]


def ask_old_trl(cases: Sequence[Case], source: str) -> Rewards:
    """As TRL 0.16 to 0.24, Unsloth and axolotl call it."""
    from pgsrm_stacks import trl

    name_source(source)
    trl._from_environment = cache(partial(trl.TrlReward, limits=LIMITS))
    assert trl.pgsrm.__name__ == "pgsrm"
    columns = {"label": [one.label for one in cases], "trainer_state": object()}
    texts = [one.text for one in cases]
    return trl.pgsrm(
        prompts=[one.asked for one in cases], completions=texts, completion_ids=[[1]] * len(cases), **columns
    )


# --- verl -------------------------------------------------------------------------------------------------------------


def ask_verl(cases: Sequence[Case], source: str) -> Rewards:
    """verl's naive manager, made by verl's own loader."""
    from omegaconf import OmegaConf
    from reward_managers import Run
    from verl.trainer.ppo.reward import load_reward_manager

    function = {
        "path": "pkg://pgsrm_stacks.verl_function",
        "name": "compute_score",
        "reward_kwargs": {"source": source},
    }
    run = Run(Path(mkdtemp()), name="naive", custom_reward_function=function)
    config = OmegaConf.create({"reward": run.config.reward, "data": run.config.data})

    async def all_of_them() -> list[Any]:
        manager = load_reward_manager(config, run.tokenizer, reward_router_address=None, reward_model_tokenizer=None)
        rows = [
            {
                "prompt": one.messages,
                "data_source": "test",
                "reward_model": {"ground_truth": one.label},
                "extra_info": {"question": one.prompt},
            }
            for one in cases
        ]
        protos = [run.proto(row, one.text) for row, one in zip(rows, cases, strict=True)]
        return await asyncio.gather(*map(manager.run_single, protos))

    return [answer["reward_score"] for answer in asyncio.run(all_of_them())]


def ask_old_verl(cases: Sequence[Case], source: str) -> Rewards:
    """As the forks of older verl call it: in threads, without kwargs of their own."""
    from pgsrm_stacks.verl_function import compute_score_sync

    name_source(source)

    def one_of_them(one: Case) -> float:
        row = {"data_source": "x", "solution_str": one.text, "ground_truth": one.label, "extra_info": None}
        return compute_score_sync(**row)["score"]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one_of_them, cases))


# --- OpenRLHF ---------------------------------------------------------------------------------------------------------


class _Engine:
    """As much of vLLM as OpenRLHF's executor asks: text is its own token ids."""

    def __init__(self, said: str) -> None:
        self._ids = [ord(letter) for letter in said]

    async def generate(self, ids: Any, params: Any, **more: Any) -> Any:
        output = types.SimpleNamespace(token_ids=self._ids, finish_reason="stop", logprobs=None)
        return types.SimpleNamespace(outputs=[output])


class _Letters:
    """A tokenizer of letters."""

    def __call__(self, text: str, **more: Any) -> Any:
        ids = types.SimpleNamespace(tolist=lambda: [ord(letter) for letter in text])
        return {"input_ids": [ids]}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        assert not skip_special_tokens
        return "".join(map(chr, ids))


def ask_openrlhf(places: Callable[[str], list[str]], cases: Sequence[Case], source: str) -> Rewards:
    """OpenRLHF's executor; its experience maker stops where the first reward is None."""
    agent = wheels.openrlhf_agent()
    params = types.SimpleNamespace(max_tokens=99, logprobs=None)

    async def all_of_them() -> list[Any]:
        executor = agent.SingleTurnAgentExecutor(places(source))
        asked = [executor.execute(one.asked, one.label, params, 999, _Letters(), _Engine(one.text)) for one in cases]
        return await asyncio.gather(*asked)

    outputs = asyncio.run(all_of_them())
    for one in outputs:
        if one["reward"] is not None:
            assert one["scores"] == one["reward"]
            assert set(one["extra_logs"]) == set(outputs[0]["extra_logs"])
    return [None if one["reward"] is None else one["reward"][0] for one in outputs]


def two_urls(source: str) -> list[str]:
    return [f"{source}/get_reward", f"{source}/get_reward"]


def own_file(source: str) -> list[str]:
    from pgsrm_stacks import openrlhf

    name_source(source)
    return [openrlhf.__file__]


# --- others -----------------------------------------------------------------------------------------------------------


def ask_llama_factory(cases: Sequence[Case], source: str) -> Rewards:
    client = wheels.llama_factory_client()
    scores = client(f"{source}/v1/score/evaluation", [one.asked + one.text for one in cases])
    return scores.tolist()


def ask_swift(cases: Sequence[Case], source: str) -> Rewards:
    import torch

    from pgsrm_stacks import swift

    name_source(source)
    compute, orms = wheels.swift_rewards()
    orms.clear()
    wheels.by_path("_swift_external_pgsrm", swift.__file__)
    said = [[*one.messages, {"role": "assistant", "content": one.text}] for one in cases]
    rows = [wheels.GrpoSample(messages, solution=one.label) for messages, one in zip(said, cases, strict=True)]
    rewards = compute(rows, [orms["pgsrm"](args=None)], None, torch.device("cpu"))
    return [None if one != one else one for one in rewards[:, 0].tolist()]


def ask_skyrl(cases: Sequence[Case], source: str) -> Rewards:
    name_source(source)
    gym = wheels.skyrl_gym()
    if "pgsrm" not in gym.registry:
        gym.register(id="pgsrm", entry_point="pgsrm_stacks.skyrl:SemanticEnv")

    def one_of_them(one: Case) -> float:
        env = gym.make("pgsrm", env_config={}, extras={"reward_spec": {"ground_truth": one.label}, "index": 0})
        env.init(one.messages)
        return env.step(one.text)["reward"]

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one_of_them, cases))


def ask_easyr1(cases: Sequence[Case], source: str) -> Rewards:
    """As EasyR1's batch manager: a file by its path, keyword arguments bound."""
    from pgsrm_stacks import easyr1

    module = wheels.by_path("custom_reward_fn", easyr1.__file__)
    inputs = [{"response": one.text, "response_length": 1, "ground_truth": one.label} for one in cases]
    return [score["overall"] for score in module.compute_score(inputs, source=source)]


def ask_slime(cases: Sequence[Case], source: str) -> Rewards:
    """As slime's rollout manager: one event loop, a coroutine a sample."""
    from pgsrm_stacks.slime import reward

    name_source(source)

    async def all_of_them() -> list[Any]:
        made = [
            types.SimpleNamespace(prompt=one.asked, response=one.text, label=one.label, metadata={"rm_type": ""})
            for one in cases
        ]
        return await asyncio.gather(*(reward(None, sample) for sample in made))

    return [answer["score"] for answer in asyncio.run(all_of_them())]


def ask_remote_rm(cases: Sequence[Case], source: str) -> Rewards:
    """slime's ``remote_rm`` as recorded: the question, ``raise_for_status``, the answer's ``--reward-key``."""
    import httpx

    answers = []
    for one in cases:
        question = {"prompt": one.asked, "response": one.text, "label": one.label}
        answers.append(httpx.post(f"{source}/slime", json=question, timeout=120).raise_for_status().json())
    return [answer["score"] for answer in answers]


class EnvironmentReturn(NamedTuple):
    """NeMo-RL's, as its interfaces.py has it."""

    observations: list[dict[str, str]]
    metadata: list[Any]
    next_stop_strings: list[Any]
    rewards: Any
    terminateds: Any
    answers: list[Any] | None = None


def ask_nemo(cases: Sequence[Case], source: str) -> Rewards:
    """As NeMo-RL's rollout: message logs with tokens, ``extra_env_info`` of its stock processors, float32 (B,)."""
    import torch

    named = {"EnvironmentInterface": object, "EnvironmentReturn": EnvironmentReturn}
    wheels.put(
        wheels.bare("nemo_rl", Path()),
        wheels.bare("nemo_rl.environments", Path()),
        wheels.bare("nemo_rl.environments.interfaces", **named),
    )
    from pgsrm_stacks.nemo_rl import SemanticEnvironment

    env = SemanticEnvironment({"source": source})
    logs = []
    for one in cases:
        said = [{"role": "assistant", "content": one.said}] if isinstance(one.said, str) else one.said
        logs.append([{**message, "token_ids": torch.tensor([1])} for message in [*one.messages, *said]])
    returned = env.step(logs, [{"ground_truth": one.label} for one in cases])
    assert len(returned.observations) == len(returned.next_stop_strings) == len(returned.terminateds) == len(cases)
    assert returned.rewards.dtype == torch.float32
    _, metrics = env.global_post_process_and_metrics({})
    assert "pgsrm/semantic" in metrics
    return returned.rewards.tolist()


class ArealStoppedError(Exception):
    """The run ended with our error."""


def ask_areal(cases: Sequence[Case], source: str) -> Rewards:
    """AReaL's wrapper in a process of its own, as its workers are forks of the process."""
    import subprocess

    root = wheels.unpacked("areal")
    script = Path(__file__).with_name("areal_wrapper_script.py")
    asked = [{"prompt": one.asked, "text": one.text, "messages": one.messages, "answer": one.label} for one in cases]
    ran = subprocess.run(
        [sys.executable, str(script), str(root / "areal" / "api" / "reward_api.py")],
        input=json.dumps(asked),
        env={**os.environ, URL: source},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if ran.returncode:
        assert "ScorerError" in ran.stderr.splitlines()[-1], ran.stderr
        raise ArealStoppedError
    rewards: Rewards = json.loads(ran.stdout.splitlines()[-1])
    return rewards


def ask_verifiers(cases: Sequence[Case], source: str) -> Rewards:
    """verifiers' ``Task.score`` with our hooks plugged in from a config."""
    from verifiers_tasks import score

    name_source(source)
    return asyncio.run(score(cases))


RUN, STEP = "the call raises and the run ends", "the call raises and the step fails"
DRIVERS = {
    "TRL: GRPO": Driver(
        partial(ask_trl, "GRPO"),
        "TRL 1.12.0: `GRPOTrainer`",
        '`reward_funcs=TrlReward("pgsrm")`',
        RUN,
        single=True,
        page="stacks/trl.md",
    ),
    "TRL: RLOO": Driver(
        partial(ask_trl, "RLOO"),
        "TRL 1.12.0: `RLOOTrainer`",
        '`reward_funcs=TrlReward("pgsrm")`',
        RUN,
        single=True,
        page="stacks/trl.md",
    ),
    "TRL's command, axolotl, Unsloth": Driver(
        ask_old_trl,
        "calls as TRL 0.16 to 0.24 makes them",
        "`--reward_funcs pgsrm_stacks.trl.pgsrm`",
        RUN,
        page="stacks/trl.md",
    ),
    "verl's forks": Driver(
        ask_verl,
        "verl 0.9.1: naive manager",
        "`reward.custom_reward_function.path=pkg://pgsrm_stacks.verl_function`",
        "the call raises and verl leaves the group out",
        page="stacks/verl-function.md",
    ),
    "older verl and its forks": Driver(
        ask_old_verl,
        "calls in threads",
        "the same, `name=compute_score_sync`",
        RUN,
        page="stacks/verl-function.md",
    ),
    "OpenRLHF": Driver(
        partial(ask_openrlhf, two_urls),
        "OpenRLHF 0.11.2: `agent.py`, two addresses",
        "`--reward.remote_url http://host:8900/get_reward`",
        "5 questions, then the reward is None and the run ends after the rollout",
        (SERVED,),
        wheel="openrlhf",
        page="stacks/openrlhf.md",
    ),
    "OpenRLHF, a file": Driver(
        partial(ask_openrlhf, own_file),
        "OpenRLHF 0.11.2: `agent.py`",
        "`--reward.remote_url $(python -m pgsrm_stacks.openrlhf)`",
        "the reward is None and the run ends after the rollout",
        wheel="openrlhf",
        page="stacks/openrlhf.md",
    ),
    "LLaMA-Factory": Driver(
        ask_llama_factory,
        "LLaMA-Factory 0.9.5: `get_rewards_from_server`",
        "`reward_model: http://host:8900/v1/score/evaluation`",
        RUN,
        (SERVED,),
        single=True,
        wheel="llamafactory",
        errors=("KeyError", "ConnectionError"),
        page="stacks/llama-factory.md",
    ),
    "ms-swift": Driver(
        ask_swift,
        "ms-swift 4.6.0: `compute_rewards_per_func`",
        "`--external_plugins $(python -m pgsrm_stacks.swift) --reward_funcs pgsrm`",
        RUN,
        single=True,
        wheel="ms_swift",
        page="stacks/swift.md",
    ),
    "slime, miles": Driver(
        ask_remote_rm,
        "questions as recorded",
        "`--rm-type remote_rm --rm-url http://host:8900/slime --reward-key score`",
        "10 questions within some minutes, then the rollout raises",
        (SERVED,),
        errors=("HTTPStatusError", "RemoteProtocolError"),
        page="stacks/slime.md",
    ),
    "slime, a function": Driver(
        ask_slime,
        "calls as recorded",
        "`--custom-rm-path pgsrm_stacks.slime.reward --reward-key score`",
        "the call raises and the rollout with it",
        page="stacks/slime.md",
    ),
    "verifiers, prime-rl": Driver(
        ask_verifiers,
        "verifiers 0.4.0: `Task.score`",
        '`[...taskset.task.rewards]` `pgsrm = {fn = "pgsrm_stacks.verifiers.reward"}`',
        "the trace carries the error and no reward, and prime-rl leaves it out",
        page="stacks/verifiers.md",
    ),
    "SkyRL": Driver(
        ask_skyrl,
        "skyrl-gym 0.4.0",
        "`python -m pgsrm_stacks.skyrl ...`, `env_class: pgsrm`",
        RUN,
        wheel="skyrl_gym",
        page="stacks/skyrl.md",
    ),
    "EasyR1": Driver(
        ask_easyr1,
        "calls as recorded",
        "`worker.reward.reward_function=$(python -m pgsrm_stacks.easyr1):compute_score`",
        RUN,
        page="stacks/easyr1.md",
    ),
    "NeMo-RL": Driver(
        ask_nemo,
        "calls as recorded",
        "`pgsrm_stacks.nemo_rl.register()`, `env_name: pgsrm`",
        STEP,
        single=True,
        page="stacks/nemo-rl.md",
    ),
    "AReaL": Driver(
        ask_areal,
        "AReaL 1.0.4: `AsyncRewardWrapper`",
        '`reward_fn="pgsrm_stacks.areal.reward"`, `PGSRM_URL`',
        "4 calls, then it raises",
        (SERVED,),
        wheel="areal",
        errors=("ArealStoppedError",),
        page="stacks/areal.md",
    ),
    "your own code": Driver(
        ask_scorer,
        "`Scorer`",
        '`Scorer("pgsrm").score_rows(rows)`',
        "the call raises",
        page="../reference/python.md",
    ),
}
"""By the name in the table."""
SLOW = ("AReaL", "verifiers, prime-rl")
"""Those that need a process or a virtual environment of their own."""
MARKS = ("OpenRLHF", "OpenRLHF, a file", "verifiers, prime-rl")
"""Those that go on for a while with None, where the others raise."""
