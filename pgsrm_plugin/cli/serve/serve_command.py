"""``pgsrm serve``: rewards over HTTP for every stack."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from pgsrm_plugin.cli.score import GroundTruthField, ReferenceField
from pgsrm_plugin.errors import PgsrmError, SpecError

_EXTRA = ("starlette", "uvicorn", "prometheus_client")


def serve(
    spec: Annotated[str, typer.Argument(help="The reward: a YAML file, or the name of a shipped one, e.g. pgsrm.")],
    host: Annotated[str, typer.Option(help="Where to answer; beyond this machine it needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8900,
    token_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="The environment variable with the token that clients send.")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Answer other machines without a token.")] = False,
    references: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prompts with references, for LLaMA-Factory."),
    ] = None,
    chat_template: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="The policy's: chatml, qwen, llama3, gemma, none, or its folder."),
    ] = None,
    reference_field: ReferenceField = None,
    ground_truth_field: GroundTruthField = None,
    batch_rows: Annotated[int, typer.Option(min=1, help="Rows scored at once.")] = 256,
    wait_ms: Annotated[float, typer.Option(min=0, help="How long a row waits for others.")] = 5.0,
    queue_rows: Annotated[int, typer.Option(min=1, help="Rows waiting or being scored; more are answered 429.")] = 8192,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of one question; more are answered 413.")] = 4096,
    max_body_mb: Annotated[float, typer.Option(min=0.001, help="Size of one question; more is answered 413.")] = 64.0,
    deadline: Annotated[float, typer.Option(min=0.01, help="Seconds to an answer; then it is 504.")] = 100.0,
    grace: Annotated[float, typer.Option(min=0, help="Seconds that a stop waits for what was accepted.")] = 30.0,
) -> None:
    """Serve a reward over HTTP to any stack: one encoder for all ranks and jobs; an outage is never a number.

    POST /v1/score (ours), /get_reward (OpenRLHF), /slime, /v1/score/evaluation (LLaMA-Factory); GET /health, /metrics,
    /v1/spec. Ends at Ctrl-C or SIGTERM with 130 or 143, when what was accepted is answered. Exit status 2: a setting or
    the spec is wrong; 3: the encoder does not work.
    """
    _require_extra()
    from functools import partial

    from pgsrm_plugin.data.completions import SPECIAL_TOKENS
    from pgsrm_plugin.data.layouts import STOCK
    from pgsrm_plugin.data.rows import Columns
    from pgsrm_plugin.scorer.batching import MicroBatchSettings
    from pgsrm_plugin.serve.chat_templates import chat_template as template_of
    from pgsrm_plugin.serve.dialects.llama_factory import LlamaFactory
    from pgsrm_plugin.serve.dialects.native import Native
    from pgsrm_plugin.serve.dialects.openrlhf import OpenRlhf
    from pgsrm_plugin.serve.dialects.slime import Slime
    from pgsrm_plugin.serve.process import listen, run
    from pgsrm_plugin.serve.prompt_index import PromptIndex
    from pgsrm_plugin.serve.serve_settings import ServeSettings, check_host, read_token
    from pgsrm_plugin.serve.service import Service, build
    from pgsrm_plugin.spec import load_spec

    reward_spec = load_spec(spec)
    token = read_token(token_env)
    check_host(host, token is not None, insecure)
    if (references is None) != (chat_template is None):
        raise SpecError("--references and --chat-template belong together: prompts are found as the policy had them")
    columns = Columns(
        reference=reference_field, ground_truth=ground_truth_field, usual=STOCK, special_tokens=SPECIAL_TOKENS
    )
    index = None
    if references is not None and chat_template is not None:
        index = PromptIndex.from_file(references, *template_of(chat_template), columns)
    limits = MicroBatchSettings(max_rows=batch_rows, max_wait_ms=wait_ms, max_pending=queue_rows, deadline_s=deadline)
    settings = ServeSettings(host, port, token, limits, max_rows, int(max_body_mb * 2**20), grace)
    place = listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{place.getsockname()[1]}"

    def say(what: str) -> None:
        typer.echo(f"pgsrm serve: {reward_spec.name or spec} at {address}: {what}", err=True)

    say("loading")
    dialects = [Native(), OpenRlhf(), Slime(), LlamaFactory(index)]
    run(Service(settings, columns), dialects, partial(build, reward_spec), place, say)


def _require_extra() -> None:
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        raise PgsrmError(
            f"`pgsrm serve` needs {', '.join(missing)}; install it with `pip install 'pgsrm-plugin[serve]'`"
        )
