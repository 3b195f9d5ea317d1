"""What scoring would ask of language models, and what it would cost, without asking anything."""

from __future__ import annotations

from collections.abc import Sequence

from pgsrm_plugin.aggregates import Sum
from pgsrm_plugin.asking.language_model import LanguageModelSpec
from pgsrm_plugin.asking.store.shared import SharedAnswers
from pgsrm_plugin.parents.generation.plan import Plan, make_plan
from pgsrm_plugin.parents.generation.prompts import PromptRow
from pgsrm_plugin.reward import SemanticReward
from pgsrm_plugin.spec import RewardSpec
from pgsrm_plugin.types import Question, Reply, RewardSample


class Listening:
    """Stands for a model: keeps what it is asked, and says nothing."""

    identity = "nobody"

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.tries = 0

    def judge(self, questions: Sequence[Question]) -> list[Reply]:
        """Nothing to each question."""
        self.questions += [text for text, sample in questions if sample == "0"]
        self.tries = max(self.tries, *(1 + int(sample) for _, sample in questions))
        return [Reply() for _ in questions]


def plans_of(spec: RewardSpec, samples: Sequence[RewardSample]) -> list[tuple[list[str], str, int, Plan]]:
    """For each language model of a spec: the terms that ask it, its name, how often they ask, and the account.

    Every response must be scorable by other terms, as far as this can know: their models are not loaded.
    """
    models: dict[LanguageModelSpec, list[str]] = {}
    for name, term in spec.terms.items():
        section = term.needs().model
        if isinstance(section, LanguageModelSpec):
            models.setdefault(section, []).append(name)
    plans = []
    for section, names in models.items():
        own = {name: spec.terms[name] for name in names}
        update = {"terms": own, "weights": dict.fromkeys(names, 1.0), "gates": (), "guards": {}, "aggregate": Sum()}
        alone = spec.model_copy(update=update | {"encoder": None, "shape": None, "unscorable": "floor"})
        listening = Listening()
        SemanticReward(alone, models={section: listening}).score(samples)
        rows = [PromptRow(text) for text in listening.questions]
        known = None if section.store is None else SharedAnswers(section.store, writable=False)
        plan = make_plan(rows, 1, section.config(), known)
        plans.append((names, section.model, listening.tries, plan))
    return plans
