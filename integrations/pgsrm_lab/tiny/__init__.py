"""Tiny language models and their supervised warm start: a parent that answers once, a child with partial knowledge."""

from pgsrm_lab.tiny.models import Size
from pgsrm_lab.tiny.warm_start import ask_parent, make_parent, store_expert_answers, warm_start_child, write_prompts

__all__ = ["Size", "ask_parent", "make_parent", "store_expert_answers", "warm_start_child", "write_prompts"]
