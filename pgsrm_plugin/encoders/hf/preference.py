"""A frozen reward model of transformers: what its heads say of the answer to a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pgsrm_plugin.encoders.classifier import RewardModelSpec
from pgsrm_plugin.encoders.hf.pair_classifier import PairClassifier, ReadPair
from pgsrm_plugin.errors import SpecError
from pgsrm_plugin.types import Question, Reply


class HfPreferenceModel(PairClassifier):
    """Gives the outputs of a sequence classifier for (prompt, answer), by the names of its config.

    Where its tokenizer has a chat template, the two are a turn of the user and one of the assistant; a conversation
    that is too long loses its beginning, as the end is where such a model is read. Else they are a pair of texts, and
    the longer one is cut. How it runs: :class:`~pgsrm_plugin.encoders.hf.pair_classifier.PairClassifier`.

    Raises:
        SpecError: as that; or two outputs have one name, or there is no chat template where the section wants one.
    """

    called: ClassVar = "reward model"
    untrained: ClassVar = "so it is no reward model; take one that was trained on preferences or ratings"

    def __init__(self, spec: RewardModelSpec) -> None:
        self._layout = spec.layout
        super().__init__(spec)
        self.identity += f";layout={'chat' if self._chat else 'pair'}"

    def judge(self, questions: Sequence[Question]) -> list[Reply]:
        """The outputs for each (prompt, answer), and whether it was cut, in order.

        Raises:
            ScorerError: the device is out of memory.
        """
        logits_NL, cut = self.logits(questions)
        names = tuple(self.labels)
        return [Reply(tuple(row), one, names) for row, one in zip(logits_NL.tolist(), cut, strict=True)]

    @property
    def _chat(self) -> bool:
        template = bool(getattr(self._tokenizer, "chat_template", None))
        if self._layout == "chat" and not template:
            raise SpecError(f"layout: the tokenizer of {self._spec.model} has no chat template; write pair, or auto")
        return template and self._layout != "pair"

    def _check_labels(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise SpecError(f"model: {self._spec.model} has two outputs of one name ({', '.join(self.labels)})")

    def _read(self, pairs: Sequence[tuple[str, ...]]) -> list[ReadPair]:
        if not self._chat:
            return super()._read(pairs)
        turns = [
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}] for prompt, answer in pairs
        ]
        texts: list[str] = [self._tokenizer.apply_chat_template(one, tokenize=False) for one in turns]
        read: list[list[int]] = self._tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        limit = self.max_tokens
        return [self._kept(ids, limit) for ids in read]

    def _kept(self, ids: Sequence[int], limit: Any) -> ReadPair:
        cut = limit is not None and len(ids) > limit
        kept = list(ids[-limit:] if cut else ids)
        return ReadPair(kept, [0] * len(kept) if self._has_segments else [], cut)
