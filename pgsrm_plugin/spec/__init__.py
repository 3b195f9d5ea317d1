"""The reward spec: one YAML file that says what a reward is, validated before anything is loaded."""

from pgsrm_plugin.spec.parse import load_spec, parse_spec
from pgsrm_plugin.spec.schema import RewardSpec

__all__ = ["RewardSpec", "load_spec", "parse_spec"]
