"""``pgsrm parent``: reference answers from a parent model, kept in a store."""

from __future__ import annotations

import typer

from pgsrm_plugin.cli.parent.check_command import check
from pgsrm_plugin.cli.parent.export_command import export
from pgsrm_plugin.cli.parent.generate_command import generate
from pgsrm_plugin.cli.parent.import_command import import_answers
from pgsrm_plugin.cli.parent.retry_command import retry_failed
from pgsrm_plugin.cli.parent.rubrics_command import rubrics
from pgsrm_plugin.cli.parent.store_commands import merge, repair, show, status

parent_app = typer.Typer(help="Reference answers from a parent model: asked once, never lost.", no_args_is_help=True)
parent_app.command()(generate)
parent_app.command("import")(import_answers)
parent_app.command("retry-failed")(retry_failed)
for command in (rubrics, check, export, status, show, merge, repair):
    parent_app.command()(command)
