"""The rewards that are compared: shipped specs as they are."""

from __future__ import annotations

from pgsrm_lab.reproduce.study import Arm
from pgsrm_plugin.spec.shipped import find_spec_file

_ABOUT = {
    "pgsrm": ("dense", "max(0, cos)^2 to the reference"),
    "pgsrm-affine": ("dense", "((cos + 1) / 2)^4: the authors' code"),
    "guarded": ("guarded", "cosine and token matching, less what the guards find wrong, copies of the prompt among it"),
    "pgsrm-exact": ("dense", "half max(0, cos)^2, half binary"),
    "binary": ("baseline", "1 for the reference's very words, else 0"),
}
ARMS = {
    name: Arm(name, role, find_spec_file(name).read_text(encoding="utf-8"), about)
    for name, (role, about) in _ABOUT.items()
}
