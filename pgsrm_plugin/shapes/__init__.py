"""Shapes: what is made of a reward once it is composed. One file each; the spec's ``shape`` says which."""

from pgsrm_plugin.kinds import Kinds
from pgsrm_plugin.shapes.base import Shape
from pgsrm_plugin.shapes.baselines import Baselines
from pgsrm_plugin.shapes.ceil import Ceil
from pgsrm_plugin.shapes.centered import Centered
from pgsrm_plugin.shapes.clip import Clip
from pgsrm_plugin.shapes.lsc import Lsc
from pgsrm_plugin.shapes.meanstd import MeanStd
from pgsrm_plugin.shapes.par import Par
from pgsrm_plugin.shapes.tanh import Tanh

__all__ = ["KINDS", "SHAPES", "Baselines", "Shape"]

SHAPES: tuple[type[Shape], ...] = (Par, Centered, Tanh, Lsc, Clip, Ceil, MeanStd)
"""The kinds that come with the package; other packages add theirs under the entry-point group ``pgsrm.shapes``."""

KINDS = Kinds("pgsrm.shapes", Shape, SHAPES)  # type: ignore[type-abstract]
"""All kinds there are, by name."""
