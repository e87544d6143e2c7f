"""What all commands share: where they print, and how they complain."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import typer
from rich.console import Console
from rich.markup import escape

from sgdscope.errors import RequestError

console = Console(width=None if sys.stdout.isatty() else 100)
errors = Console(stderr=True)
LOG = "Write the results to tensorboard, wandb or mlflow too."


class Device(StrEnum):
    """Where networks are trained and measured."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@contextmanager
def complaints() -> Iterator[None]:
    """A wrong request, or a disk that cannot be read or written, is one message and exit code 2."""
    try:
        yield
    except (RequestError, OSError) as error:
        errors.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
