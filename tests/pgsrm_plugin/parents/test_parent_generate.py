"""The generation loop, the transformers engine on tiny models, and the online parent."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from parent_server import Behaviour, ParentServer, expected
from taught import write_taught

from pgsrm_lab.tiny import models
from pgsrm_plugin.asking import online
from pgsrm_plugin.asking.engines import build_engine
from pgsrm_plugin.asking.engines.base import BatchEngine, Completion
from pgsrm_plugin.asking.online import OnlineParent
from pgsrm_plugin.asking.store.answers import FAILURES, ParentConfig, Request, Sampling
from pgsrm_plugin.asking.store.store import ParentStore
from pgsrm_plugin.errors import DataError, ScorerError, SpecError, StoreError
from pgsrm_plugin.parents.generation.generate import generate
from pgsrm_plugin.parents.generation.progress import RunLimits

CONFIG = ParentConfig("openai", "parent")


@pytest.fixture
def store(tmp_path) -> Iterator[ParentStore]:
    with ParentStore.open(tmp_path / "store", create=True) as opened:
        yield opened


@pytest.fixture
def server() -> Iterator[ParentServer]:
    with ParentServer(Behaviour(slow_s=60.0)) as running:
        yield running


def engine_of(server: ParentServer, config: ParentConfig = CONFIG, **settings):
    return build_engine(config, **({"base_url": server.url, "retries": 1} | settings))


def requests(count: int, start: int = 0) -> Iterator[Request]:
    return (Request(f"prompt {i}", item=str(i)) for i in range(start, start + count))


# --- what is asked, and what is not --------------------------------------------------------------------------------


def test_two_thousand_prompts_through_faults_within_bounded_memory(store, tmp_path):
    faults = ("429", "500", "garbage", "cut", "503", "empty-choices")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ParentServer(Behaviour(faults=faults, every=10), keep_bodies=False) as server:
        counts = generate(requests(2000), engine_of(server, retries=5), store)
        assert counts.by_status == {"ok": 2000}
        assert (counts.seen, counts.reused, counts.asked, counts.stopped) == (2000, 0, 2000, None)
        assert counts.attempts == sum(server.seen.calls.values()) == 2000 + sum(server.seen.faults.values())
        assert counts.prompt_tokens == 4000 + 2 * server.seen.faults["empty-choices"]
        assert set(server.seen.faults) == set(faults)
        assert set(server.seen.answers.values()) == {1}
        again = generate(requests(2000), engine_of(server), store)
        assert (again.seen, again.reused, again.asked) == (2000, 2000, 0)
        assert sum(server.seen.answers.values()) == 2000
    assert {one.prompt: one.reference for one in store} == {
        one.prompt: expected(one.prompt, 0) for one in requests(2000)
    }
    # Kilobytes; 2000 prompts of which each kept its 64 kB of connection buffers would be more.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_prompts_are_read_as_places_become_free(store):
    read = []

    def endless() -> Iterator[Request]:
        for i in itertools.count():
            read.append(i)
            yield Request(f"prompt {i}")

    ahead = []

    def watch(counts) -> None:
        ahead.append(len(read) - counts.asked)
        if counts.asked >= 60 and not counts.stopped:
            os.kill(os.getpid(), signal.SIGINT)

    with ParentServer(Behaviour(latency_s=0.005)) as server:
        counts = generate(endless(), engine_of(server, concurrency=5), store, on_progress=watch)
    assert counts.stopped == "interrupted"
    assert max(ahead) <= 5
    assert len(read) == counts.asked == len(store)


def test_provenance_is_on_every_answer(store, server):
    sampling = Sampling(temperature=0.5, max_tokens=9)
    config = ParentConfig("openai", "parent", "v7", sampling, "Be brief.", None)
    generate([Request("hello", sample=2, item="row 5")], engine_of(server, config), store)
    (found,) = store
    assert (found.item, found.sample, found.prompt) == ("row 5", 2, "hello")
    assert (found.engine, found.model, found.revision, found.served_model) == ("openai", "parent", "v7", "parent-2026")
    assert (found.finish_reason, found.prompt_tokens, found.completion_tokens, found.attempts) == ("stop", 1, 2, 1)
    assert found.settings["url"] == f"{server.url}/chat/completions"
    assert found.config == config
    assert found.created.startswith("20")
    assert found.created.endswith("+00:00")


def test_the_same_prompt_twice_is_one_call(store, server):
    asked = [Request("hello", item="a"), Request([{"role": "user", "content": "hello"}], item="b"), Request("hello")]
    counts = generate(asked, engine_of(server), store)
    assert (counts.seen, counts.reused, counts.asked) == (3, 2, 1)
    assert server.seen.calls["hello"] == 1


def test_failures_are_recorded_and_asked_again_only_on_demand(store, server):
    prompts = {
        "well": "ok",
        "fault:refusal": "refused",
        "fault:filter": "refused",
        "fault:blank": "empty",
        "fault:long": "truncated",
        "fault:500": "failed",
        "fault:400": "failed",
        "fault:reasoning": "empty",
        "fault:only-thinking-parts": "empty",
        "say:<think>It is easy.</think>": "empty",
        "say:<think>It is easy.</think>four": "ok",
        "finish:max_tokens": "truncated",
        "finish:SAFETY": "refused",
        "finish:abort": "failed",
    }
    asked = [Request(prompt) for prompt in prompts]
    counts = generate(asked, engine_of(server), store)
    assert {one.prompt: one.status for one in store} == prompts
    assert all((one.reference is None) and one.error for one in store if not one.ok)
    assert counts.by_status == {"ok": 2, "refused": 3, "empty": 4, "truncated": 2, "failed": 3}
    assert {one.prompt for one in store if one.permanent} == {"fault:filter", "fault:400"}
    assert next(one for one in store if one.status == "truncated").text.startswith("answer ")
    before = sum(server.seen.calls.values())
    assert generate(asked, engine_of(server), store).asked == 0
    assert sum(server.seen.calls.values()) == before
    assert generate(asked, engine_of(server), store, retry={"empty"}).by_status == {"empty": 4}
    assert generate(asked, engine_of(server), store, retry=FAILURES).asked == 12


def test_a_failure_that_is_asked_again_becomes_an_answer(store, server):
    asked = [Request("once:500 ")]
    assert generate(asked, engine_of(server, retries=0), store).by_status == {"failed": 1}
    assert generate(asked, engine_of(server), store, retry={"failed"}).by_status == {"ok": 1}
    assert store.counts()["failed"] == 0


def test_a_refusal_keeps_its_words_under_another_extraction(store, server):
    for rule in (None, "tag:answer"):
        generate(
            [Request("fault:refusal"), Request("fault:filter")], engine_of(server, replace(CONFIG, extract=rule)), store
        )
    found = {(one.prompt, one.error) for one in store}
    assert (len(store), len(found)) == (4, 2)


def test_another_extraction_rule_costs_no_call(store, server):
    generate(requests(3), engine_of(server), store)
    sixth = replace(CONFIG, extract="regex:^answer (.)")
    counts = generate(requests(3), engine_of(server, sixth), store)
    assert (counts.asked, counts.extracted_again) == (0, 3)
    none = replace(CONFIG, extract="tag:answer")
    generate(requests(1), engine_of(server, none), store)
    assert sum(server.seen.calls.values()) == 3
    found = store.get(Request("prompt 1").key(sixth))
    assert (found.reference, found.attempts) == (expected("prompt 1", 0)[7], 0)
    assert store.get(Request("prompt 0").key(none)).status == "unextracted"


def test_no_place_in_flight_is_given_on_before_its_answer_is_on_the_disk(store, server, monkeypatch):
    disk, extend = threading.Event(), store.extend

    def slow(answers) -> None:
        assert disk.wait(30)
        extend(answers)

    monkeypatch.setattr(store, "extend", slow)
    run = threading.Thread(target=generate, args=(requests(50), engine_of(server, concurrency=4), store))
    run.start()
    while sum(server.seen.answers.values()) < 4:
        time.sleep(0.01)
    time.sleep(0.2)
    assert sum(server.seen.answers.values()) == 4
    disk.set()
    run.join()
    assert len(store) == 50


# --- stops ---------------------------------------------------------------------------------------------------------


def test_a_useless_parent_stops_the_run_and_keeps_what_was_answered(store, server):
    asked = itertools.chain(requests(5), [Request("fault:401")], requests(1000, start=5))
    with pytest.raises(ScorerError, match="answered 401"):
        generate(asked, engine_of(server, concurrency=4), store)
    assert 5 <= len(store) < 50
    assert store.counts()["failed"] == 0


def test_calls_that_all_fail_stop_the_run(store, server):
    asked = (Request(f"fault:400 {i}") for i in range(1000))
    with pytest.raises(ScorerError, match=r"[78] calls in a row failed, the last with: answered 400 .*other settings"):
        generate(asked, engine_of(server, concurrency=2), store, limits=RunLimits(failures_in_a_row=7))
    assert 7 <= store.counts()["failed"] <= 9


def test_a_broken_input_stops_the_run_after_what_is_in_flight(store, server):
    def rows() -> Iterator[Request]:
        yield from requests(3)
        raise DataError("rows.jsonl:4: no prompt")

    with pytest.raises(DataError, match=r"rows\.jsonl:4"):
        generate(rows(), engine_of(server), store)
    assert len(store) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_calls_in_flight_finish(store, number):
    before = signal.getsignal(number)
    with ParentServer(Behaviour(latency_s=0.3)) as server:
        threading.Timer(0.45, os.kill, (os.getpid(), number)).start()
        counts = generate(requests(100), engine_of(server, concurrency=3), store)
        assert counts.stopped == "interrupted"
        assert 3 <= len(store) == sum(server.seen.answers.values()) < 30
    assert signal.getsignal(number) is before


def test_a_call_that_does_not_finish_is_given_up_after_the_drain(store, server):
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    asked = [Request("fault:slow"), *requests(3)]
    counts = generate(asked, engine_of(server), store, limits=RunLimits(drain_s=0.2))
    assert counts.stopped == "interrupted"
    assert store.counts() | {"ok": 3} == store.counts()
    assert len(store) == 3


def test_a_second_signal_ends_it_at_once(store, server):
    for delay in (0.4, 0.8):
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        generate([Request("fault:slow"), *requests(3)], engine_of(server), store)
    assert len(store) == 3


def test_the_total_deadline(store, server):
    asked = [*requests(3), Request("fault:slow")]
    counts = generate(asked, engine_of(server), store, limits=RunLimits(deadline_s=0.5, drain_s=0.1))
    assert (counts.stopped, len(store)) == ("deadline", 3)


def test_a_disk_that_fails_stops_the_run(store, server):
    def full(answers) -> None:
        raise StoreError("No space left on device")

    store.extend = full
    with pytest.raises(StoreError, match="No space left"):
        generate(requests(100), engine_of(server), store)
    assert sum(server.seen.calls.values()) < 50


def test_inside_a_running_event_loop(store, server):
    async def notebook():
        return generate(requests(5), engine_of(server), store)

    assert asyncio.run(notebook()).asked == 5


# --- engines that answer batches -----------------------------------------------------------------------------------


class Brittle:
    """Breaks whenever a bad prompt is in the batch."""

    def __init__(self) -> None:
        self.config, self.settings, self.batch_size = ParentConfig("hf", "brittle"), {}, 8
        self.batches: list[int] = []

    def complete_batch(self, batch: Sequence[Request]) -> list[Completion]:
        self.batches.append(len(batch))
        if any("bad" in one.prompt for one in batch):
            raise ValueError("the prompt is too long")
        return [Completion(text=one.prompt.upper(), finish_reason="stop") for one in batch]


def test_one_bad_prompt_does_not_spoil_its_batch(store):
    engine = Brittle()
    assert isinstance(engine, BatchEngine)
    asked = [Request("bad" if i == 5 else f"p{i}") for i in range(20)]
    counts = generate(asked, engine, store)
    assert counts.by_status == {"ok": 19, "failed": 1}
    assert store.get(asked[5].key(engine.config)).error == "ValueError: the prompt is too long"
    assert store.get(asked[4].key(engine.config)).reference == "P4"
    assert engine.batches[0] == 8
    assert engine.batches[-2:] == [8, 4]


def test_a_signal_ends_a_run_of_batches_after_its_batch(store):
    def interrupt(counts) -> None:
        if not counts.stopped:
            os.kill(os.getpid(), signal.SIGINT)

    engine = Brittle()
    counts = generate(requests(1000), engine, store, on_progress=interrupt)
    assert (counts.stopped, len(store), engine.batches) == ("interrupted", 8, [8])


def test_a_batch_that_the_signal_itself_broke_is_no_error(store):
    class Dying(Brittle):
        def complete_batch(self, batch: Sequence[Request]) -> list[Completion]:
            if self.batches:
                os.kill(os.getpid(), signal.SIGINT)
                raise ScorerError("the engine's process is gone")
            return super().complete_batch(batch)

    counts = generate(requests(1000), Dying(), store)
    assert (counts.stopped, len(store), store.counts()["failed"]) == ("interrupted", 8, 0)


# --- transformers --------------------------------------------------------------------------------------------------

PAIRS = {"mix red and blue": "purple", "mix red and yellow": "orange", "mix blue and yellow": "green ish"}


@pytest.fixture(scope="module")
def taught(tmp_path_factory) -> Path:
    """A tiny GPT-2 that has learned three answers by heart."""
    torch.set_num_threads(1)
    return write_taught(tmp_path_factory.mktemp("parent"), PAIRS, width=32)


@pytest.fixture(scope="module")
def untaught(tmp_path_factory) -> Path:
    """The same with random weights, which never ends and samples broadly."""
    tokenizer = models.train_tokenizer([f"{prompt} {answer}" for prompt, answer in PAIRS.items()])
    folder = tmp_path_factory.mktemp("untaught")
    models.save(models.new_model(tokenizer, models.Size(1, 16), seed=1), tokenizer, folder)
    return folder


def hf(folder: Path, sampling: Sampling | None = None, **settings):
    config = ParentConfig("hf", str(folder), sampling=sampling or Sampling(max_tokens=8))
    return build_engine(config, **({"device": "cpu"} | settings))


def test_a_real_parent_fills_a_store(taught, store):
    counts = generate([Request(prompt) for prompt in PAIRS], hf(taught, batch_size=2), store)
    assert counts.by_status == {"ok": 3}
    assert {one.prompt: one.reference for one in store} == PAIRS
    (one,) = [one for one in store if one.prompt == "mix red and blue"]
    assert one.finish_reason == "stop"
    # Four words, one token each; the answer's one token, and the end.
    assert (one.prompt_tokens, one.completion_tokens) == (4, 2)
    assert one.settings["dtype"] == "float32"
    assert one.settings["device"] == "cpu"


def test_greedy_answers_are_those_of_the_model_alone(untaught):
    engine = hf(untaught)
    prompts = [*PAIRS, "red", "mix mix mix and and and blue"]
    together = engine.complete_batch([Request(prompt) for prompt in prompts])
    for prompt, completion in zip(prompts, together, strict=True):
        ids = engine._tokenizer(prompt, return_tensors="pt")["input_ids"]
        for _ in range(8):
            step = engine._model(ids).logits[0, -1].argmax()
            ids = torch.cat([ids, step.view(1, 1)], dim=1)
            if int(step) in engine._ends:
                break
        new = ids[0, completion.prompt_tokens :]
        assert completion.text == engine._tokenizer.decode(new, skip_special_tokens=True)
        assert completion.finish_reason == ("stop" if int(new[-1]) in engine._ends else "length")


def test_sampled_answers_belong_to_their_request_not_to_the_batch(untaught):
    sampling = Sampling(temperature=1.0, max_tokens=8)
    engine = hf(untaught, sampling)
    asked = [Request(prompt, sample) for prompt in PAIRS for sample in range(4)]
    together = [one.text for one in engine.complete_batch(asked)]
    alone = [hf(untaught, sampling).complete_batch([one])[0].text for one in reversed(asked)]
    assert together == alone[::-1]
    assert len(set(together)) > 8
    other = hf(untaught, replace(sampling, seed=1)).complete_batch(asked)
    assert [one.text for one in other] != together


def test_samples_follow_the_models_distribution(untaught):
    engine = hf(untaught, Sampling(temperature=0.7, max_tokens=1, extra={"top_k": 3}))
    asked = [Request("mix red", sample) for sample in range(3000)]
    texts = [one.text for one in engine.complete_batch(asked)]
    ids = engine._tokenizer("mix red", return_tensors="pt")["input_ids"]
    top = (engine._model(ids).logits[0, -1].double() / 0.7).topk(3)
    for token, share in zip(top.indices.tolist(), top.values.softmax(-1).tolist(), strict=True):
        # Four standard deviations.
        bound = 4 * (share * (1 - share) / 3000) ** 0.5
        text = engine._tokenizer.decode([token], skip_special_tokens=True)
        assert texts.count(text) / 3000 == pytest.approx(share, abs=bound)


def test_the_chat_template_is_used_where_there_is_one(taught, tmp_path):
    engine = hf(taught)
    engine._tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
        "{{ m.content }}{% endfor %}{% if add_generation_prompt %} and blue{% endif %}"
    )
    fine, refused = engine.complete_batch(
        [Request("mix red"), Request([{"role": "tool", "content": "x"}])],
    )
    assert fine.text.strip() == "purple"
    assert "no tools here" in refused.error
    assert refused.permanent
    assert not fine.permanent


def test_a_template_without_a_system_role_says_what_to_do(taught):
    engine = hf(taught)
    engine._tokenizer.chat_template = "{{ raise_exception('System role not supported') }}"
    (refused,) = engine.complete_batch([Request("mix red")])
    assert refused.error.endswith(
        "System role not supported; this model takes no system prompt: put its text at the beginning of the prompts"
    )


def test_what_the_model_cannot_read_is_the_requests_error(taught):
    engine = hf(taught)
    words = " red" * 56
    assert len(engine._tokenizer(words)["input_ids"]) == 56
    longest, too_long, turns = engine.complete_batch(
        [
            Request(words),
            Request(words + " red"),
            Request([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
        ]
    )
    assert (longest.error, longest.prompt_tokens) == (None, 56)
    assert too_long.error == "57 prompt tokens and max_tokens 8 are more than the model's 64 positions"
    assert "no chat template" in turns.error


def test_stop_texts_end_an_answer_and_are_not_part_of_it(taught):
    engine = hf(taught, Sampling(max_tokens=8, stop=("ish",)))
    (completion,) = engine.complete_batch([Request("mix blue and yellow")])
    assert completion.text.strip() == "green"
    assert completion.finish_reason == "stop"


@pytest.mark.parametrize(
    ("folder", "sampling", "complaint"),
    [
        ("nowhere", Sampling(), "the parent '.*nowhere' cannot be loaded by transformers on cpu"),
        ("nowhere", Sampling(extra={"num_beams": 4}), "engine hf: unknown setting 'num_beams'; it knows "),
    ],
)
def test_a_parent_that_cannot_be_had(tmp_path, folder, sampling, complaint):
    with pytest.raises(SpecError, match=complaint):
        hf(tmp_path / folder, sampling)


# --- online --------------------------------------------------------------------------------------------------------


def test_an_online_parent_asks_what_the_store_lacks_within_its_budget(store, server):
    generate(requests(2), engine_of(server), store)
    with OnlineParent(store, engine_of(server), budget=2) as parent:
        assert parent.references("prompt 0") == (expected("prompt 0", 0),)
        assert parent.references("new 1") == (expected("new 1", 0),)
        assert parent.references([{"role": "user", "content": "new 1"}]) == (expected("new 1", 0),)
        assert parent.references("new 2") == (expected("new 2", 0),)
        with pytest.raises(ScorerError, match=r"budget of 2 calls is spent.*pgsrm parent generate"):
            parent.references("new 3")
        assert parent.references("prompt 1") == (expected("prompt 1", 0),)
        counts = parent.counts
    assert (counts.calls, counts.attempts, counts.hits, counts.failures) == (2, 2, 3, 0)
    assert len(store) == 4
    assert sum(server.seen.calls.values()) == 4


def test_an_online_parent_reads_stores_that_it_does_not_write(store, server, tmp_path):
    generate([*requests(2), Request("fault:blank")], engine_of(server), store)
    with (
        ParentStore.open(store.folder, writable=False) as known,
        ParentStore.open(tmp_path / "own", create=True) as own,
    ):
        tagged = replace(CONFIG, extract="regex:^answer (.)")
        for config, kept in ((CONFIG, expected("prompt 0", 0)), (tagged, expected("prompt 0", 0)[7])):
            with OnlineParent(own, engine_of(server, config), budget=0, known=[known]) as parent:
                assert parent.references("prompt 0") == (kept,)
                assert parent.counts.hits == 1
        with (
            OnlineParent(own, engine_of(server), budget=0, known=[known]) as parent,
            pytest.raises(ScorerError, match="empty, the answer is blank"),
        ):
            parent.references("fault:blank")
        assert [one.reference for one in own] == [expected("prompt 0", 0)[7]]
    assert len(store) == 3


def test_an_online_parent_from_threads_and_event_loops_asks_once(store):
    with ParentServer(Behaviour(latency_s=0.2)) as server, OnlineParent(store, engine_of(server), budget=1) as parent:
        found = []
        threads = [threading.Thread(target=lambda: found.append(parent.references("hello"))) for _ in range(8)]
        for thread in threads:
            thread.start()

        async def tasks() -> list:
            giving_up = asyncio.create_task(parent.references_async("hello"))
            await asyncio.sleep(0.02)
            giving_up.cancel()
            return await asyncio.gather(*(parent.references_async("hello") for _ in range(8)))

        found += asyncio.run(tasks())
        for thread in threads:
            thread.join()
        assert found == [(expected("hello", 0),)] * 16
        assert server.seen.calls["hello"] == 1
        assert parent.counts.calls == 1
        assert parent.counts.hits + parent.counts.shared == 16


def test_an_online_failure_is_an_error_never_an_empty_reference(store, server):
    with OnlineParent(store, engine_of(server), budget=5) as parent:
        for _ in range(2):
            with pytest.raises(ScorerError, match="no reference for a prompt: refused, the parent declined"):
                parent.references("fault:refusal")
        assert (parent.counts.calls, parent.counts.failures) == (1, 1)
        with pytest.raises(ScorerError, match="answered 401"):
            parent.references("fault:401")
        assert (parent.counts.calls, parent.counts.failures) == (2, 2)
    assert store.counts()["refused"] == 1
    with pytest.raises(ScorerError, match="is closed"):
        parent.references("hello")


def test_answers_that_came_to_nothing_are_in_the_online_budget(store, server):
    # Three attempts that may be paid, of which the budget has two; 500s are free.
    with OnlineParent(store, engine_of(server, retries=5), budget=2) as parent:
        with pytest.raises(ScorerError, match="failed, returned no choice; no further attempt is paid"):
            parent.references("fault:empty-choices")
        assert (parent.counts.calls, parent.counts.attempts) == (2, 2)
        assert (parent.counts.prompt_tokens, parent.counts.completion_tokens) == (2, 4)
    assert server.seen.calls["fault:empty-choices"] == 2
    with OnlineParent(store, engine_of(server, retries=1), budget=2) as parent:
        with pytest.raises(ScorerError, match="failed, answered 500"):
            parent.references("fault:500")
        assert (parent.counts.calls, parent.counts.attempts) == (1, 2)


def test_an_online_parent_is_not_asked_about_pictures(store, server):
    text = {"type": "text", "text": "What is it?"}
    with OnlineParent(store, engine_of(server), budget=3) as parent:
        with pytest.raises(ScorerError, match="parts that are no text"):
            parent.references([{"role": "user", "content": [{"type": "image"}, text]}])
        assert parent.counts.calls == 0


def test_tokens_of_what_is_no_reference_are_counted_online(store, server):
    with OnlineParent(store, engine_of(server), budget=3) as parent:
        for fault in ("refusal", "blank", "reasoning"):
            with pytest.raises(ScorerError, match="no reference for a prompt"):
                parent.references(f"fault:{fault}")
        assert (parent.counts.calls, parent.counts.prompt_tokens, parent.counts.completion_tokens) == (3, 3, 6)


def test_an_online_call_that_failed_is_asked_again_later_and_within_the_budget(store, server, monkeypatch):
    with OnlineParent(store, engine_of(server), budget=2) as parent:
        for _ in range(2):
            with pytest.raises(ScorerError, match="failed, answered 400"):
                parent.references("once:400 online")
        assert (parent.counts.calls, parent.counts.failures) == (1, 1)
        monkeypatch.setattr(online, "_ASKED_AGAIN_AFTER_S", 0.0)
        monkeypatch.setattr(parent, "_forgiving_s", 0.0)
        assert parent.references("once:400 online") == (expected("once:400 online", 0),)
        assert parent.references("once:400 online") == (expected("once:400 online", 0),)
        assert (parent.counts.calls, parent.counts.failures) == (2, 1)
    with OnlineParent(store, engine_of(server), budget=1) as parent:
        for _ in range(2):
            with pytest.raises(ScorerError, match="failed, answered 400"):
                parent.references("fault:400 online")
        with pytest.raises(ScorerError, match="budget of 1 calls is spent"):
            parent.references("another")
    assert server.seen.calls["fault:400 online"] == 1


def test_a_quota_of_a_day_is_everybodys_error_and_nobody_waits_for_it(store, server):
    parent = OnlineParent(store, engine_of(server, deadline_s=5.0), budget=5)
    with pytest.raises(ScorerError, match="asks to wait 86400 s, more than deadline_s"):
        parent.references("fault:429long")
    found: list[tuple[str, ...]] = []
    later = threading.Thread(target=lambda: found.append(parent.references("later")), daemon=True)
    later.start()
    later.join(20)
    assert found == [(expected("later", 0),)]
    parent.close()


def test_an_online_parent_gives_every_sample(store, server):
    config = replace(CONFIG, sampling=Sampling(temperature=1.0))
    with OnlineParent(store, engine_of(server, config), budget=3, samples=3) as parent:
        assert parent.references("hello") == tuple(expected("hello", seed) for seed in range(3))


def test_closing_an_online_parent_waits_for_its_calls(store):
    with ParentServer(Behaviour(latency_s=0.3)) as server:
        parent = OnlineParent(store, engine_of(server), budget=1)
        thread = threading.Thread(target=parent.references, args=("hello",))
        thread.start()
        while not parent.counts.calls:
            time.sleep(0.01)
        parent.close()
        thread.join()
    assert len(store) == 1


def test_a_local_model_can_be_the_online_parent(taught, store):
    with OnlineParent(store, hf(taught), budget=1) as parent:
        assert parent.references("mix red and blue") == ("purple",)
