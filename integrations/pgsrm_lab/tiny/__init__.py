"""What the demos share: tiny models, a parent that answers once, and a child with partial knowledge."""

from pgsrm_lab.tiny.lessons import ask_parent, make_parent, use_expert, warm_start, write_prompts
from pgsrm_lab.tiny.models import Size

__all__ = ["Size", "ask_parent", "make_parent", "use_expert", "warm_start", "write_prompts"]
