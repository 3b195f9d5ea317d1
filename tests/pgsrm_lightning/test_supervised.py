"""Supervised fine-tuning and continued pre-training: the loss against transformers' own, packs, resume, saving."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Callback
from transformers import AutoModelForCausalLM, AutoTokenizer

from pgsrm_lightning import (
    AdamWConfig,
    AnswerData,
    ImitationModule,
    LoraConfig,
    PromptData,
    RLModule,
    SamplingConfig,
    SaveChild,
    TextData,
)
from pgsrm_lightning.cli import imitate
from pgsrm_lightning.policy import Policy
from pgsrm_lightning.rollout.generate import encode_prompt
from pgsrm_lightning.supervised.corpus import read_texts
from pgsrm_lightning.supervised.examples import Example, cut_text, encode_answer, read_answer
from pgsrm_lightning.supervised.packs import PackStream, TrainPacks, ValPacks
from pgsrm_plugin import DataError, SpecError

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes" / "lightning" / "semantic_grpo").glob("*.yaml"))
CONSTANT = AdamWConfig(lr=1e-2, schedule="constant", warmup=0)


def encoded(policy: Policy, row: dict, chat: bool = False) -> Example:
    return encode_answer(read_answer(row, "rows:1"), policy, chat)


def weights(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.policy.state_dict().items()}


def assert_close(one, other, tolerance=1e-6):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=tolerance)


# --- what is learned --------------------------------------------------------------------------------------------------


def test_an_answer_follows_its_prompt_and_ends(tiny_child):
    policy = Policy(tiny_child)
    example = encoded(policy, {"prompt": "mix red and blue is", "response": " blue "})
    tokens = example.tokens.tolist()
    assert tokens[: example.first] == policy.tokenizer("mix red and blue is")["input_ids"]
    assert policy.tokenizer.decode(tokens[example.first : -1]).strip() == "blue"
    assert tokens[-1] == policy.eos_ids[0]
    assert example.targets == len(tokens) - example.first


def test_the_prompt_has_the_tokens_that_a_rollout_starts_from(chat_child):
    policy = Policy(chat_child)
    row = {"prompt": "mix red and blue is", "reference": "blue"}
    example = encoded(policy, row, chat=True)
    asked = encode_prompt(read_answer(row, ""), policy, SamplingConfig(chat=True))
    assert example.tokens.tolist()[: example.first] == asked
    chat = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": "blue"}]
    assert encoded(policy, {"messages": chat}).tokens.tolist() == example.tokens.tolist()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p"}, "rows:1: there is nothing to imitate"),
        ({"prompt": "p", "response": "  "}, "rows:1: what is to be imitated is empty"),
        ({"prompt": "p", "response": 3}, "rows:1: field 'response'"),
        ({"response": "r"}, "rows:1: field 'prompt' is missing"),
        ({"messages": [{"role": "user", "content": "p"}]}, "at least two chat messages"),
        (
            {"messages": [{"role": "user", "content": "p"}] * 2},
            "rows:1: the last of 'messages' must be the assistant's",
        ),
    ],
)
def test_a_row_that_teaches_nothing_is_refused(row, message):
    with pytest.raises(DataError, match=message):
        read_answer(row, "rows:1")


def test_a_text_is_cut_and_each_token_is_learned_once(tiny_child):
    policy = Policy(tiny_child)
    text = "mix red and blue is blue mix red"
    plain = policy.tokenizer(text)["input_ids"]
    pieces = list(cut_text(text, policy, 4))
    learned = [token for piece in pieces for token in piece.tokens.tolist()[piece.first :]]
    assert learned == [*plain, policy.eos_ids[0]]
    assert all(len(piece.tokens) <= 4 for piece in pieces)
    assert [piece.tokens[0] for piece in pieces[1:]] == [piece.tokens[-1] for piece in pieces[:-1]]


def test_the_loss_is_that_of_transformers(tiny_child):
    policy = Policy(tiny_child, value_head=False, reference=False)
    rows = [("mix red and blue is", "blue"), ("mix", "red and red"), ("mix blue and red is", "red")]
    examples = [encoded(policy, {"prompt": p, "response": r}) for p, r in rows]
    model = AutoModelForCausalLM.from_pretrained(tiny_child).eval()
    total, count = 0.0, 0
    for example in examples:
        ids = torch.from_numpy(example.tokens).long()[None]
        labels = ids.clone()
        labels[:, : example.first] = -100
        total += float(model(input_ids=ids, labels=labels).loss) * example.targets
        count += example.targets
    tokens, first = [torch.from_numpy(e.tokens).long() for e in examples], [e.first for e in examples]
    assert policy.packs
    packed = policy.logprobs_of(tokens, first)
    assert len(packed) == count
    assert -float(packed.sum()) == pytest.approx(total, abs=1e-4)
    policy.packs = False
    torch.testing.assert_close(policy.logprobs_of(tokens, first), packed, rtol=0, atol=1e-5)


# --- packs ------------------------------------------------------------------------------------------------------------


def some_examples(*lengths: int) -> list[Example]:
    return [Example(np.zeros(length, dtype=np.int32), 1) for length in lengths]


def test_each_pass_has_every_example_once_within_the_budget():
    lengths = (5, 3, 8, 2, 2, 7, 1, 4)
    stream = PackStream(some_examples(*lengths), 10, seed=3)
    first = [stream.at(number) for number in range(stream.per_pass)]
    assert sorted(index for pack in first for index in pack) == list(range(8))
    assert all(sum(lengths[index] for index in pack) <= 10 for pack in first)
    again = PackStream(some_examples(*lengths), 10, seed=3)
    assert [again.at(number) for number in (9, 4, 0)] == [stream.at(number) for number in (9, 4, 0)]
    assert PackStream(some_examples(*lengths), 10, seed=4).at(0) != first[0]


def test_a_steps_share_is_by_hand():
    examples = some_examples(3, 3, 3)  # two learned tokens each, a pack each
    packs = TrainPacks(examples, PackStream(examples, 3, 0), lambda: 0, lambda: 2, lambda: float("inf"))
    assert [pack.share for pack in packs] == [4 / 2, 4 / 2, 2 / 2]  # the last step of the epoch has one pack
    assert len(packs) == 3


def test_validation_has_every_example_once():
    examples = some_examples(3, 4, 2, 6)
    found = [len(example.tokens) for pack in ValPacks("held_out", examples, 7) for example in pack.examples]
    assert found == [3, 4, 2, 6]


# --- the training -----------------------------------------------------------------------------------------------------


@pytest.fixture
def answers(jsonl, colour_rows) -> str:
    return jsonl("answers.jsonl", colour_rows)


def test_it_learns_and_validates(tiny_child, answers, quiet_trainer):
    module = ImitationModule(tiny_child, AdamWConfig(lr=3e-3, warmup=0.1))
    data = AnswerData(answers, {"same": answers}, pack_tokens=32)
    trainer = quiet_trainer(max_epochs=60)
    (before,) = trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    (after,) = trainer.validate(module, data, verbose=False)
    assert before["val/same/loss"] > 1.5
    assert after["val/same/loss"] < 0.2


def test_the_step_is_the_same_however_it_is_split(tiny_child, answers, quiet_trainer):
    class Gradients(Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            self.found = {name: p.grad.clone() for name, p in module.named_parameters()}

    found = []
    for budget, accumulated in ((1000, 1), (18, 100)):
        module, kept = ImitationModule(tiny_child, CONSTANT), Gradients()
        trainer = quiet_trainer(max_epochs=1, accumulate_grad_batches=accumulated, callbacks=[kept])
        trainer.fit(module, AnswerData(answers, pack_tokens=budget))
        assert trainer.global_step == 1
        found.append((module.packs_done, kept.found))
    assert found[0][0] == 1 < found[1][0]
    assert_close(found[0][1], found[1][1], 1e-5)


@pytest.mark.parametrize("lora", [None, LoraConfig(r=2, target_modules=["c_attn"])])
def test_a_resumed_run_is_the_one_that_was_never_interrupted(tiny_child, answers, quiet_trainer, tmp_path, lora):
    optimizer = AdamWConfig(lr=1e-2, warmup=0.2)

    def fitted(stop_at=None, **kwargs):
        from lightning.pytorch.callbacks import ModelCheckpoint

        module = ImitationModule(tiny_child, optimizer, lora=lora)
        data = AnswerData(answers, pack_tokens=32)
        keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = quiet_trainer(max_epochs=3, callbacks=[keep], enable_checkpointing=True)
        trainer.fit(module, data, **kwargs)
        return module, trainer.global_step

    whole, steps = fitted()
    middle = steps // 2
    resumed, again = fitted(ckpt_path=tmp_path / f"step={middle}.ckpt")
    assert again == steps
    assert resumed.packs_done == whole.packs_done
    assert_close(weights(whole), weights(resumed), 0)


def test_another_models_checkpoint_is_refused(tiny_child, answers, colour_file, quiet_trainer, tmp_path):
    trainer = quiet_trainer()
    trainer.fit(ImitationModule(tiny_child), AnswerData(answers))
    trainer.save_checkpoint(tmp_path / "sft.ckpt")
    spec = tmp_path / "spec.yaml"
    spec.write_text("terms: {exact_match: {}}")
    with pytest.raises(SpecError, match=r"of another model: it has .*algorithm supervised"):
        quiet_trainer().fit(RLModule(tiny_child, spec), PromptData(colour_file), ckpt_path=tmp_path / "sft.ckpt")


def test_a_loss_that_is_not_finite_stops_the_run(tiny_child, answers, quiet_trainer):
    from pgsrm_plugin.errors import PgsrmError

    module = ImitationModule(tiny_child)
    with torch.no_grad():
        module.policy.lm.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(PgsrmError, match="the loss is not finite"):
        quiet_trainer().fit(module, AnswerData(answers))


def test_what_is_saved_is_what_was_trained_with_adapters_merged(tiny_child, answers, quiet_trainer, tmp_path):
    lora = LoraConfig(r=2, target_modules=["c_attn"])
    module = ImitationModule(tiny_child, CONSTANT, lora=lora)
    save = SaveChild(str(tmp_path / "child"), merge=True)
    quiet_trainer(max_epochs=3, callbacks=[save]).fit(module, AnswerData(answers))
    assert not list((tmp_path / "child").glob("adapter*"))
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "child").eval()
    ids = AutoTokenizer.from_pretrained(tmp_path / "child")("mix red and blue is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(saved(ids).logits, module.policy.lm(ids).logits, rtol=0, atol=1e-4)
        with module.policy.lm.disable_adapter():
            assert (saved(ids).logits - module.policy.lm(ids).logits).abs().max() > 1e-3


def test_the_best_weights_are_saved_not_the_last(tiny_child, answers, quiet_trainer, tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    class Ruin(Callback):
        """After the first epoch, the weights are bad."""

        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch:
                self.kept = getattr(self, "kept", None) or weights(module)
                with torch.no_grad():
                    module.policy.lm.get_output_embeddings().weight.normal_(0, 3)

    module, ruin = ImitationModule(tiny_child, AdamWConfig(lr=1e-8)), Ruin()
    watch = ModelCheckpoint(tmp_path, "best", monitor="val/same/loss", save_weights_only=True)
    callbacks = [watch, SaveChild(str(tmp_path / "child"), best=True), ruin]
    data = AnswerData(answers, {"same": answers})
    quiet_trainer(max_epochs=3, callbacks=callbacks, enable_checkpointing=True).fit(module, data)
    best = AutoModelForCausalLM.from_pretrained(tmp_path / "child")
    torch.testing.assert_close(best.lm_head.weight, ruin.kept["lm.lm_head.weight"])
    with pytest.raises(SpecError, match="best needs a ModelCheckpoint with a monitor"):
        quiet_trainer(callbacks=[SaveChild(best=True)]).fit(module, data)


def test_the_schedule_by_hand():
    at = AdamWConfig(warmup=0.5, schedule="cosine").factor(8)
    assert [at(step) for step in (0, 3, 4, 6, 8)] == pytest.approx([0.25, 1, 1, 0.5, 0])
    assert AdamWConfig(schedule="constant").factor(float("inf"))(10**6) == 1
    with pytest.raises(SpecError, match=r"AdamWConfig.schedule must be one of cosine, linear, constant, not 'cos'"):
        AdamWConfig(schedule="cos")


# --- rows and files ---------------------------------------------------------------------------------------------------


def test_long_rows_are_refused_or_left_out(tiny_child, jsonl, colour_rows, quiet_trainer):
    rows = [*colour_rows, {"prompt": "mix " * 40, "response": "red"}]
    path = jsonl("long.jsonl", rows)
    with pytest.raises(DataError, match=r"long.jsonl:10: prompt and answer have \d+ tokens, and at most 20 fit"):
        quiet_trainer().fit(ImitationModule(tiny_child), AnswerData(path, pack_tokens=20))
    data = AnswerData(path, pack_tokens=20, overlong="leave_out")
    with pytest.warns(UserWarning, match="1 rows of more than 20 tokens are left out"):
        quiet_trainer().fit(ImitationModule(tiny_child), data)
    assert len(data.train_examples) == len(colour_rows)


def test_a_chat_without_a_template_is_an_error_that_names_the_row(tiny_child, answers, quiet_trainer):
    with pytest.raises(
        DataError, match=r"answers.jsonl:1: the prompt is a chat, but this child's tokenizer has no chat"
    ):
        quiet_trainer().fit(ImitationModule(tiny_child), AnswerData(answers, chat=True))


def test_texts_come_from_files_and_folders(tmp_path, jsonl, tiny_child, quiet_trainer):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mix red and blue")
    (tmp_path / "notes" / "b.md").write_text(" ")
    shutil.copy(jsonl("c.jsonl", [{"text": "blue is red"}, {"text": ""}]), tmp_path / "notes")
    assert list(read_texts(str(tmp_path / "notes"))) == ["mix red and blue", "blue is red"]
    bad = jsonl("bad.jsonl", [{"body": "x"}])
    with pytest.raises(DataError, match=r"bad.jsonl:1: field 'text' must be text \(the row has: body\)"):
        list(read_texts(bad))
    module = ImitationModule(tiny_child, CONSTANT)
    data = TextData([str(tmp_path / "notes")], {"same": str(tmp_path / "notes")}, pack_tokens=8)
    trainer = quiet_trainer(max_epochs=10)
    (before,) = trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    assert trainer.callback_metrics["val/same/loss"] < before["val/same/loss"] / 2
    (tmp_path / "empty.txt").write_text(" ")
    with pytest.raises(DataError, match=r"empty.txt: there is nothing to learn from"):
        quiet_trainer().fit(module, TextData(str(tmp_path / "empty.txt")))


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def arguments(tiny_child, answers, tmp_path) -> list[str]:
    return [
        *("--model.child", tiny_child, "--data.train", answers, "--data.pack_tokens=64", "--trainer.accelerator=cpu"),
        *("--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={tmp_path / 'runs'}"),
    ]


def test_the_three_commands_follow_each_other(tiny_child, colour_file, answers, jsonl, tmp_path, capsys):
    from pgsrm_lightning.cli import trainer

    spec = tmp_path / "spec.yaml"
    spec.write_text("terms: {exact_match: {}}")
    texts = jsonl("texts.jsonl", [{"text": "mix red and blue is blue"}])

    def arguments(child: object, train: str, stage: str) -> list[str]:
        config = {
            "model": {"child": str(child)},
            "data": {"train": train},
            "trainer": {
                "accelerator": "cpu",
                "max_epochs": 2,
                "enable_progress_bar": False,
                "logger": False,
                "default_root_dir": str(tmp_path / stage),
                "callbacks": [{"class_path": "pgsrm_lightning.SaveChild"}],
            },
        }
        path = tmp_path / f"{stage}.yaml"
        path.write_text(yaml.safe_dump(config))
        return ["--config", str(path)]

    imitate.pretrain(arguments(tiny_child, texts, "cpt"))
    imitate.sft([*arguments(tmp_path / "cpt" / "child", answers, "sft"), "--model.optimizer.lr=1e-2"])
    train = arguments(tmp_path / "sft" / "child", colour_file, "grpo")
    trainer.main([*train, "--model.spec", str(spec), "--model.algorithm=grpo", "--data.steps=1"])
    files = {path.name for path in (tmp_path / "grpo" / "child").iterdir()}
    assert {"model.safetensors", "tokenizer.json"} <= files


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--model.chld=x"], "there is no setting 'model.chld'; did you mean 'model.child'?"),
        (["--data.pack_token=3"], "there is no setting 'data.pack_token'; did you mean 'data.pack_tokens'?"),
        (["--nothing.like=3"], "see `pgsrm sft --help`"),
        (["--model.optimizer.lr=-1"], "AdamWConfig.lr must be above 0, not -1"),
        (["--model.optimizer.schedule=cos"], "schedule"),
        (["--data.pack_tokens=1"], "data.pack_tokens must be at least 2, not 1"),
        (["--data.overlong=cut"], "overlong"),
        (["--data.train=nowhere.jsonl"], "nowhere.jsonl"),
        (["--trainer.max_epochs=-1"], "an endless training has no schedule"),
        (["--trainer.strategy=fsdp"], "trainer.strategy: fsdp is not supported"),
        (["--ckpt_path=nowhere.ckpt"], "ckpt_path: there is no file nowhere.ckpt"),
        (["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/x/loss"], "val/x/loss"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, extra, message):
    with pytest.raises((SpecError, DataError)) as refused:
        imitate.sft([*arguments, *extra])
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_the_recipes_run_one_after_the_other_with_a_tiny_child(chat_child, jsonl, colour_rows, tmp_path, monkeypatch):
    from pgsrm_lightning.cli import trainer

    monkeypatch.chdir(tmp_path)
    assert [path.stem for path in RECIPES] == ["cpt", "grpo", "sft"]
    jsonl("train.jsonl", [{**row, "response": row["reference"]} for row in colour_rows])
    jsonl("held_out.jsonl", colour_rows)
    jsonl("texts.jsonl", [{"text": "mix red and blue is blue"}])
    (tmp_path / "spec.yaml").write_text("terms: {exact_match: {}}")
    small = ["--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.enable_progress_bar=false"]
    folder = Path("runs/semantic_grpo")
    stages = {"cpt": imitate.pretrain, "sft": imitate.sft, "grpo": trainer.main}
    more = {
        "cpt": ["--trainer.max_epochs=1"],
        "sft": ["--trainer.max_epochs=3"],
        "grpo": ["--data.steps=1", "--model.sampling.max_new_tokens=2", "--model.spec=spec.yaml"],
    }
    child = chat_child
    for stage, main in stages.items():
        recipe = next(path for path in RECIPES if path.stem == stage)
        main(["--config", str(recipe), "--model.child", child, *small, *more[stage]])
        assert (folder / stage / "metrics.csv").is_file()
        child = str(folder / stage / "child")
        assert (Path(child) / "model.safetensors").is_file()
    assert "val/held_out/loss" in (folder / "sft" / "metrics.csv").read_text().splitlines()[0]
