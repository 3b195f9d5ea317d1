"""The pages' jinja2 environments. What a template is given is text, unless a function here marked it as HTML."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

SHARED = "pgsrm_plugin.report"


def environment(*packages: str, html: bool = True) -> Environment:
    """The templates in the packages' folders ``templates``, earlier ones first, and those that every page shares.

    Everything is escaped in HTML and nothing in Markdown; a name that a template lacks is an error.
    """
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, SHARED)]),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals["plotly_script"] = plotly_script
    return found


def plotly_script() -> Markup:
    """plotly.js itself, to be inlined."""
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


def drawn(figure: object, div_id: str) -> Markup:
    """A plotly figure as a div, without the library, which the page carries once."""
    config = {"displayModeBar": False, "responsive": True}
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=div_id))  # type: ignore[attr-defined]
