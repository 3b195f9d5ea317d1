"""Trains an NLI cross-encoder on a small encoder: ``python scripts/train_cross_encoder.py --data FILES --out FOLDER``.

FILES are public NLI data as their authors publish them: e-SNLI's ``.csv`` (``Sentence1, Sentence2, gold_label``),
negation-and-nli's tab-separated ``.txt`` (``Text, Hypothesis, gold_label``), or ``.jsonl`` with ``premise``,
``hypothesis`` and ``label``. Labels are entailment, neutral and contradiction; where a file knows only
``not_entailment``, neutral and contradiction become that. Rows of one premise are either trained on or held out.

FOLDER is a Hugging Face model with label names, as the spec's ``entailment`` loads it, and ``training.json``: what it
was trained on, with which seed, and its accuracy on the rows held out.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from pgsrm_plugin.encoders.hf.load import find_model

THREE = ("entailment", "neutral", "contradiction")
TWO = ("entailment", "not_entailment")
PREMISE, HYPOTHESIS, LABEL = (
    ("premise", "sentence1", "text"),
    ("hypothesis", "sentence2"),
    ("label", "gold_label"),
)
"""The names of a column, in lower case."""


class Example(NamedTuple):
    """A pair of texts and what people said of it."""

    premise: str
    hypothesis: str
    label: str


class TimeLimit(TrainerCallback):
    """Ends the training after some minutes, wherever its learning rate stands then."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= time.monotonic() > self._end


def main() -> None:
    options = _options()
    examples = [one for path in options.data for one in read_examples(path)]
    labels, examples = with_labels(examples)
    train, held = split(examples, options.held_out, options.seed)
    train = random.Random(options.seed).sample(train, min(len(train), options.rows or len(train)))
    print(f"{len(train)} pairs to train on, {len(held)} held out, labels {', '.join(labels)}")

    source = find_model(options.base, None)
    tokenizer = AutoTokenizer.from_pretrained(source.location, revision=source.revision)
    model = AutoModelForSequenceClassification.from_pretrained(
        source.location,
        revision=source.revision,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    arguments = TrainingArguments(
        output_dir=str(options.out),
        disable_tqdm=True,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch,
        learning_rate=options.rate,
        warmup_steps=0.06,
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        report_to="none",
        logging_steps=20,
        seed=options.seed,
        dataloader_pin_memory=False,
    )
    trainer = Trainer(
        model,
        arguments,
        DataCollatorWithPadding(tokenizer),
        train_dataset=_rows(train, tokenizer, labels),
        callbacks=[TimeLimit(options.minutes)] if options.minutes else None,
    )
    started = time.monotonic()
    trainer.train()
    minutes = (time.monotonic() - started) / 60
    accuracy = _accuracy(trainer, _rows(held, tokenizer, labels))
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    report = {
        "base": source.name,
        "data": {path.name: len(read_examples(path)) for path in options.data},
        "trained": len(train),
        "held_out": len(held),
        "epochs": trainer.state.epoch,
        "seed": options.seed,
        "minutes": round(minutes, 1),
        "accuracy": None if accuracy is None else round(accuracy, 4),
    }
    (options.out / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


def read_examples(path: Path) -> list[Example]:
    """The examples of a file; rows on which people did not agree (label ``-``) are left out.

    Raises:
        SystemExit: the file is none of the forms above, or has another label.
    """
    examples = []
    for number, row in enumerate(_records(path), 1):
        named = {str(name).lower(): value for name, value in row.items()}
        found = [next((named[name] for name in names if name in named), None) for names in (PREMISE, HYPOTHESIS, LABEL)]
        if None in found:
            raise SystemExit(
                f"{path}: row {number} lacks a premise, a hypothesis or a label; it has {', '.join(named)}"
            )
        example = Example(*(str(one).strip() for one in found))
        if example.label == "-":
            continue
        if example.label not in {*THREE, *TWO}:
            raise SystemExit(
                f"{path}: row {number} has the label {example.label!r}; known are {', '.join((*THREE, TWO[1]))}"
            )
        examples.append(example)
    return examples


def with_labels(examples: Sequence[Example]) -> tuple[tuple[str, ...], list[Example]]:
    """The labels of all examples, and these with them: two as soon as one example knows no more."""
    if all(one.label in THREE for one in examples):
        return THREE, list(examples)
    return TWO, [one._replace(label=one.label if one.label == TWO[0] else TWO[1]) for one in examples]


def split(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Training and held-out examples; all pairs of one premise are on one side."""
    premises = sorted({one.premise for one in examples})
    held = set(random.Random(seed).sample(premises, round(share * len(premises))))
    return [one for one in examples if one.premise not in held], [one for one in examples if one.premise in held]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("cp1252")  # some of negation-and-nli's files
    lines = io.StringIO(text, newline="")
    if path.suffix == ".jsonl":
        return map(json.loads, lines)
    if path.suffix == ".csv":
        return csv.DictReader(lines)
    return csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def _rows(examples: Sequence[Example], tokenizer: Any, labels: Sequence[str]) -> list[dict[str, Any]]:
    pairs = [one.premise for one in examples], [one.hypothesis for one in examples]
    read = tokenizer(*pairs, truncation=True, max_length=256)
    return [
        {
            **{name: read[name][i] for name in read},
            "labels": labels.index(one.label),
            "length": len(read["input_ids"][i]),
        }
        for i, one in enumerate(examples)
    ]


def _accuracy(trainer: Trainer, rows: Sequence[dict[str, Any]]) -> float | None:
    if not rows:
        return None
    found = trainer.predict(rows)  # in an order of its own, by length
    return float(np.mean(np.argmax(found.predictions, axis=1) == found.label_ids))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="sentence-transformers/all-MiniLM-L6-v2", help="folder or hub id")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--rows", type=int, help="train on so many, drawn with the seed")
    parser.add_argument("--held-out", type=float, default=0.05, help="share of the premises")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="stop after so long; runs that it stops are not reproducible")
    return parser.parse_args()


if __name__ == "__main__":
    main()
