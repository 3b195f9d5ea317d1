"""mkdocs hooks: formulas become MathML, and the tables of spec keys come from the models themselves."""

from __future__ import annotations

import html
import re
from typing import Any

from click import Context
from latex2mathml.converter import convert
from pydantic import BaseModel
from typer import Typer
from typer.main import get_command

from pgsrm_lab.bench.compare_encoders import bench
from pgsrm_lab.tasks.command import tasks_app
from pgsrm_plugin.aggregates import KINDS as AGGREGATE_KINDS
from pgsrm_plugin.cli import build_app
from pgsrm_plugin.credit import KINDS as CREDIT_KINDS
from pgsrm_plugin.encoders import KINDS as ENCODER_KINDS
from pgsrm_plugin.encoders.cache import DiskCacheSpec
from pgsrm_plugin.guards import KINDS as GUARD_KINDS
from pgsrm_plugin.section import summary
from pgsrm_plugin.shapes import KINDS as SHAPE_KINDS
from pgsrm_plugin.spec.schema import GateSpec, RewardSpec
from pgsrm_plugin.terms import KINDS as TERM_KINDS
from pgsrm_plugin.terms.semantic import FloorSpec
from pgsrm_plugin.terms.when import When
from pgsrm_plugin.text import TextSpec

_SPAN = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_ROLE = re.compile(r":math:<code>(.*?)</code>", re.DOTALL)
_BLOCK = re.compile(r"<p>\.\. math::\s*(.*?)</p>", re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces ``{{ spec_tables }}`` and ``{{ cli_help }}``."""
    for mark, write in {"{{ spec_tables }}": _spec_tables, "{{ cli_help }}": _cli_help}.items():
        if mark in markdown:
            markdown = markdown.replace(mark, write())
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Replaces TeX (in pages and in docstrings) by MathML, which browsers draw without a script."""
    content = _SPAN.sub(lambda found: _mathml(found[3], found[2] == "["), content)
    content = _ROLE.sub(lambda found: _mathml(found[1], False), content)
    return _BLOCK.sub(lambda found: _mathml(found[1], True), content)


def _mathml(tex: str, display: bool) -> str:
    return convert(html.unescape(tex).strip(), display="block" if display else "inline")


def _spec_tables() -> str:
    encoders = {f"`encoder` of kind `{kind}`": section for kind, section in ENCODER_KINDS.items()}
    terms = {f"`terms`: `{kind}`": model for kind, model in TERM_KINDS.items()}
    guards = {f"`guards`: `{kind}`": model for kind, model in GUARD_KINDS.items()}
    aggregates = {f"`aggregate` of kind `{kind}`": model for kind, model in AGGREGATE_KINDS.items()}
    shapes = {f"`shape` of kind `{kind}`": model for kind, model in SHAPE_KINDS.items()}
    credits = {f"`credit` of kind `{kind}`": model for kind, model in CREDIT_KINDS.items()}
    when = {"`when` of a term": When}
    floor = {"`floor` of a calibrated semantic term": FloorSpec}
    top = {"The top level": RewardSpec, "`text`": TextSpec, "`gates`, a list": GateSpec, "`disk_cache`": DiskCacheSpec}
    sections = top | encoders | terms | guards | aggregates | shapes | credits | when | floor
    return "\n\n".join(_table(title, model) for title, model in sections.items())


def _cli_help() -> str:
    app = get_command(build_app())
    app.commands |= {"tasks": get_command(tasks_app), "bench": _bench()}
    named = {"pgsrm": app, **{f"pgsrm {name}": command for name, command in app.commands.items()}}
    groups = {name: command.commands for name, command in named.items() if hasattr(command, "commands")}
    for group in groups.keys() - {"pgsrm"}:
        del named[group]
    named |= {f"{group} {name}": one for group, of in groups.items() if group != "pgsrm" for name, one in of.items()}
    own = {name: command for name, command in named.items() if command.get_help_option_names(Context(command))}
    return "\n\n".join(_help(name, command) for name, command in own.items())


def _bench() -> Any:
    app = Typer(add_completion=False)
    app.command("bench", help=bench.__doc__)(bench)
    return get_command(app)


def _help(name: str, command: Any) -> str:
    options = [parameter.get_help_record(Context(command)) for parameter in command.params]
    rows = [f"| `{record[0]}` | {_cell(record[1])} |" for record in options if record]
    table = ["", "| | |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## {name}", "", (command.help or "").strip(), *table])


def _table(title: str, model: type[BaseModel]) -> str:
    rows = [
        f"| `{name}` | `{_shown(field.annotation)}` | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(
        [f"### {title}", "", summary(model), "", "| key | type | default | meaning |", "|---|---|---|---|", *rows]
    )


def _shown(annotation: Any) -> str:
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    name = re.sub(r"typing\.|pathlib\.|pgsrm_plugin\.[\w.]*\.", "", name)
    name = "list of str" if name.startswith("tuple[") and "str" in name else name
    name = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace(", ", " or "), name)
    name = "section" if "Spec" in name else name
    return _cell(name.replace(" | None", ""))


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ("", (), {}) or isinstance(value, BaseModel):
        return ""
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
