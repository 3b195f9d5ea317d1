"""The shipped specs with the real MiniLM: the invariants where the encoder's batching does change its bits."""

import random

import pytest
import torch
from sentence_transformers import SentenceTransformer

from pgsrm_plugin import RewardSample, SemanticReward, load_spec
from pgsrm_plugin.encoders.hf.offline import installed_folder

WORDS = "red blue green light dark sea sky the a colour of mixing two paints gives some kind".split()  # noqa: SIM905


def make_batch(size: int) -> list[RewardSample]:
    pick = random.Random(0)
    texts = [" ".join(pick.choices(WORDS, k=pick.choice([1, 2, 5, 30, 300]))) for _ in range(size // 2)]
    return [
        RewardSample(f"p{i % 7}", pick.choice(texts), (pick.choice(texts), pick.choice(texts))) for i in range(size)
    ]


@pytest.fixture(scope="module")
def spec(request):
    return load_spec(request.config.rootpath / "recipes" / "rewards" / "pgsrm.yaml")


@pytest.fixture(scope="module")
def encoder(spec):
    return SemanticReward(spec).encoder


def test_permuted_repeated_and_single_rows(spec, encoder):
    batch = make_batch(40)
    straight = SemanticReward(spec, encoder).score(batch).total_B
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1))
    shuffled = SemanticReward(spec, encoder).score([batch[i] for i in order.tolist()]).total_B
    assert torch.equal(shuffled, straight[order])
    doubled = SemanticReward(spec, encoder).score(batch + batch).total_B
    assert torch.equal(doubled[:40], doubled[40:])
    alone = torch.stack([SemanticReward(spec, encoder).score([row]).total_B[0] for row in batch])
    torch.testing.assert_close(alone, straight, atol=1e-6, rtol=0)


def test_the_reward_is_the_papers_formula_on_sentence_transformers_cosines(spec, encoder):
    rows = [RewardSample("p", "teal", ("turquoise",)), RewardSample("p", "brown", ("turquoise",))]
    oracle = SentenceTransformer(str(installed_folder()), device="cpu").encode(["teal", "brown", "turquoise"])
    cosines = oracle[:2] @ oracle[2]
    expected = [max(0.0, float(cosine)) ** 2 for cosine in cosines]
    assert SemanticReward(spec, encoder).score(rows).total_B.tolist() == pytest.approx(expected, abs=1e-6)


def test_identical_text_scores_one_and_text_beyond_256_tokens_is_counted(spec, encoder):
    long = " ".join(["word"] * 400)
    out = SemanticReward(spec, encoder).score([RewardSample("p", "blue", ("blue",)), RewardSample("p", long, ("x",))])
    assert out.total_B[0].item() == pytest.approx(1.0, abs=1e-12)
    assert out.diagnostics["truncated"].tolist() == [0, 1]


def test_the_encoder_trains_nowhere(spec, encoder):
    """Invariant 5, with a real model in reach."""
    holder = torch.nn.Module()
    holder.reward = SemanticReward(spec, encoder)
    assert list(holder.parameters()) == []
    assert holder.state_dict() == {}
    assert not isinstance(encoder, torch.nn.Module)


def test_the_semantic_spec_on_a_medical_question(request):
    reward = SemanticReward.from_file(request.config.rootpath / "recipes" / "rewards" / "semantic.yaml")
    expert = "Insulin lowers blood glucose by moving it into cells."
    good = f"<explanation>{expert}</explanation><answer>B</answer>"
    wrong = f"<explanation>{expert}</explanation><answer>C</answer>"
    bare = "B"
    rows = [RewardSample("q", text, (expert,), ground_truth="B") for text in (good, wrong, bare)]
    out = reward.score(rows)
    assert out.total_B.tolist() == pytest.approx([1.0, 0.7, 0.0], abs=1e-6)
    assert out.diagnostics["unscorable"].tolist() == [0, 0, 1]
