"""The vllm engine on a real vLLM and a tiny model (slow; `make test-vllm`)."""

from __future__ import annotations

import importlib.util

import pytest
from taught import write_taught

from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.store.answers import ParentConfig, Request, Sampling
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.parents.generation.generate import generate

PAIRS = {"mix red and blue": "purple", "mix red and yellow": "orange", "mix blue and yellow": "green"}
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
ARGUMENTS = {"dtype": "float32", "max_model_len": 32, "enforce_eager": True, "seed": 0}

needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> str:
    """A tiny GPT-2 that has learned three answers by heart, with a chat template."""
    return str(write_taught(tmp_path_factory.mktemp("parent"), PAIRS, width=128, chat_template=TEMPLATE))


@pytest.fixture(scope="module")
def engine(parent, monkeypatch_module):
    monkeypatch_module.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch_module.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    config = ParentConfig("vllm", parent, sampling=Sampling(max_tokens=8))
    return build_engine(config, batch_size=4, engine_args=ARGUMENTS)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def with_sampling(engine, sampling: Sampling):
    """The same model under other settings; to load it again takes a minute."""
    engine.config = ParentConfig("vllm", engine.config.model, sampling=sampling)
    return engine


@pytest.mark.slow
@needs_vllm
def test_a_real_vllm_fills_a_store(engine, tmp_path):
    with_sampling(engine, Sampling(max_tokens=8))
    asked = [Request(prompt) for prompt in PAIRS] + [Request("red " * 40)]
    with ParentStore.open(tmp_path, create=True) as store:
        counts = generate(asked, engine, store)
        # vLLM refuses the whole batch over the prompt that is too long.
        assert counts.by_status == {"ok": 3, "failed": 1}
        assert {one.prompt: one.reference for one in store if one.ok} == PAIRS
        (failed,) = [one for one in store if not one.ok]
        (one,) = [one for one in store if one.prompt == "mix red and blue"]
        assert generate(asked, engine, store).asked == 0
    assert "32" in failed.error
    assert (one.finish_reason, one.prompt_tokens, one.completion_tokens) == ("stop", 4, 2)
    assert one.settings["engine_args"]["max_model_len"] == "32"
    assert one.settings["vllm"]


@pytest.mark.slow
@needs_vllm
def test_samples_are_seeded_and_cut_answers_are_told(engine):
    with_sampling(engine, Sampling(temperature=2.0, max_tokens=2))
    asked = [Request("blue", sample) for sample in range(16)]
    first = engine.complete_batch(asked)
    assert [one.text for one in engine.complete_batch(asked)] == [one.text for one in first]
    assert len({one.text for one in first}) > 2
    assert "length" in {one.finish_reason for one in first}


@pytest.mark.slow
@needs_vllm
def test_wrong_settings_name_vllm(engine, parent):
    with pytest.raises(SpecError, match="SamplingParams refuse the settings"):
        with_sampling(engine, Sampling(extra={"beam_width": 3})).complete_batch([Request("x")])
    with pytest.raises(SpecError, match="cannot be loaded by vLLM"):
        build_engine(ParentConfig("vllm", parent), engine_args={"max_model_length": 3})


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_without_vllm_the_message_says_what_to_install():
    with pytest.raises(SpecError, match=r"engine vllm needs vLLM: pip install 'pgsrm-plugin\[vllm\]'"):
        build_engine(ParentConfig("vllm", "m"))
