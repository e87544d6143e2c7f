"""What all commands share: options, consoles, and how they end early."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from sgdscope.errors import RequestError

# Names such as "nets.py:boom" are no emoji.
console = Console(width=None if sys.stdout.isatty() else 100, emoji=False)
errors = Console(stderr=True, emoji=False)


class Device(StrEnum):
    """Where networks are trained and measured."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Out = Annotated[Path | None, typer.Option(help="Folder for the results; default: one under out/.")]
Log = Annotated[
    str | None, typer.Option(help="Also send the results to tensorboard, wandb or mlflow.")
]


@contextmanager
def complaints() -> Iterator[None]:
    """Report a wrong request, or an unreadable or unwritable disk, in one line; exit code 2."""
    try:
        yield
    except (RequestError, OSError) as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """Report Ctrl-C in one line, which says what is kept; exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print(f"stopped; {kept}. Run the same command to continue.", markup=False)
        raise typer.Exit(130) from None
