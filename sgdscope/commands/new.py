"""The command ``sgdscope new``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from sgdscope.commands.terminal import complaints, console
from sgdscope.errors import RequestError
from sgdscope.files import write_text


def new(
    model: Annotated[
        str | None, typer.Option(help="Network: stdcnn, nets.py:Tiny, timm:resnet18, …")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data: mnist, folder:woods, npz:FILE, …")] = None,
    question: Annotated[
        str | None,
        typer.Option(help="A knob and what to measure, such as 'batch size and robustness'."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The study file to write.")] = None,
) -> None:
    """Write a commented study file and say how long it will take; asks for what is not given."""
    with complaints():
        from sgdscope.execution.plan import plan, summary
        from sgdscope.study import draft, names
        from sgdscope.study.study import Study

        model = model or _answer("Network (--model)", "stdcnn")
        data = data or _answer("Data (--data)", "digits")
        question = question or _answer("Question (--question)", draft.QUESTION)
        out = out or Path(_answer("Study file (--out)", "study.toml"))
        if out.exists():
            raise RequestError(f"--out {out}: the file exists already; expected a new name")
        content = draft.text(model=model, data=data, asked=question, home=out.parent)
        settings = tomllib.loads(content) | {"name": out.stem}
        settings = names.located(settings, homes=[out.parent, Path()])
        made = plan(Study.parse(settings, where="new"))
        write_text(out, content)
        console.print(f"{out}: {len(made.study.runs)} runs", highlight=False, markup=False)
        *_, duration = summary(made)
        console.print(duration, highlight=False)
        console.print(f"sgdscope run {out}", highlight=False, markup=False)


def _answer(what: str, default: str) -> str:
    """The user's answer at a terminal.

    Raises:
        RequestError: there is no terminal to ask on.
    """
    if not _at_terminal():
        option = what.partition("(")[2].rstrip(")")
        raise RequestError(
            f"{option}: required where there is no terminal to ask on; for example {default!r}"
        )
    return str(typer.prompt(what, default=default))


def _at_terminal() -> bool:
    return sys.stdin.isatty()
