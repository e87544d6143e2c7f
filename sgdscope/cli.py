"""The command line."""

from __future__ import annotations

import io
import json
import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.logging import RichHandler

from sgdscope.commands.audit import audit
from sgdscope.commands.claims import claims
from sgdscope.commands.figures import figures
from sgdscope.commands.new import new
from sgdscope.commands.parts import list_
from sgdscope.commands.report import report
from sgdscope.commands.run import run
from sgdscope.commands.terminal import errors

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sgdscope {version('sgdscope')}")
        raise typer.Exit


@app.callback()
def sgdscope(
    said: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """What SGD's knobs do to a network: generalisation, curvature, robustness."""


def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from sgdscope.study.schema import schema

    typer.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


for command in (run, audit, new, schema, report, figures, claims):
    app.command()(command)
app.command("list")(list_)


def main() -> None:
    """Enter here."""
    log = logging.getLogger("sgdscope")
    log.addHandler(RichHandler(console=errors, show_time=False, show_level=False, show_path=False))
    log.setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # whatever the terminal's encoding lacks
    app()
