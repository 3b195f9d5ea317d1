"""What drew the responses is not quite the policy that learns from them: how far off it is, and what makes up for it.

An inference engine computes with the same weights by other kernels, in other orders and at times in another dtype. So
its log-probabilities differ from those of the pass that is trained, and training is off-policy by as much.
"""

from __future__ import annotations

from dataclasses import replace

from pgsrm_lightning.config import ImportanceSamplingConfig
from pgsrm_lightning.losses import importance_ratios, kl_k3, truncated_weights
from pgsrm_lightning.meter import Meter
from pgsrm_lightning.rollout.experience import Experience


def corrected(experience: Experience, settings: ImportanceSamplingConfig | None, meter: Meter) -> Experience:
    """The experience with the weights of truncated importance sampling, which it logs; as it is without a sampler.

    Adds to the meter, over tokens: ``train/sampler_kl``, the k3 estimate of KL(sampler, policy at rollout) in nats;
    mean and largest of the ratios, ``train/sampler_ratio`` and ``train/sampler_ratio_max``; and with settings the share
    of them that was above the cap, ``train/sampler_truncated``.

    Args:
        experience: evaluated under the policy as it was at rollout.
        settings: None corrects nothing; the ratios that are logged are then those of tokens.
    """
    e, sampler_BT = experience, experience.sampler_logprobs_BT
    if sampler_BT is None:
        return experience
    level = "token" if settings is None else settings.level
    ratios_BT = importance_ratios(e.logprobs_BT, sampler_BT, e.mask_BT, level)
    meter.add_masked("train/sampler_kl", kl_k3(sampler_BT, e.logprobs_BT), e.mask_BT)
    meter.add_masked("train/sampler_ratio", ratios_BT, e.mask_BT)
    meter.add_max("train/sampler_ratio_max", ratios_BT, e.mask_BT)
    if settings is None:
        return experience
    meter.add_masked("train/sampler_truncated", ratios_BT > settings.cap, e.mask_BT)
    return replace(e, weights_BT=truncated_weights(ratios_BT, settings.cap))
