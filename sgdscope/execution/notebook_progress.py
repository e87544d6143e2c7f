"""Progress in a notebook: a bar, the time left, and why runs failed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from html import escape
from typing import Any

from sgdscope.execution.messages import Event, Message, Task
from sgdscope.execution.progress_bar import to_come
from sgdscope.results.record import Outcome, Result

PAUSE = 0.5  # seconds between two drawings: each is kept in the notebook's history of messages


def in_notebook() -> bool:
    """Whether this code runs in a kernel, whose front end draws HTML."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


class NotebookProgress:
    """A bar over all epochs and measures to come, redrawn in place as they finish."""

    def __init__(self) -> None:
        self._runs = self._finished = self._total = self._done = 0
        self._reasons: dict[str, None] = {}
        self._start = self._drawn = time.monotonic()
        self._shown: Any = None

    def begin(self, tasks: Sequence[Task]) -> None:
        """Called once, with all tasks."""
        from IPython.display import HTML, display

        self._runs, self._total = len(tasks), to_come(tasks)
        self._start = time.monotonic()
        self._shown = display(HTML(self._html()), display_id=True)

    def tell(self, message: Message) -> None:
        """Called with every message."""
        if isinstance(message, Event):
            self._done += 1
        elif isinstance(message, Outcome):
            self._ended(message.result)
        if self._finished == self._runs or time.monotonic() - self._drawn >= PAUSE:
            self._draw()

    def _ended(self, result: Result) -> None:
        self._finished += 1
        if result.reason:
            run = result.run
            self._reasons[f"{run.model} on {run.data}, {run.id}: {result.reason}"] = None

    def _draw(self) -> None:
        from IPython.display import HTML

        self._drawn = time.monotonic()
        if self._shown is not None:
            self._shown.update(HTML(self._html()))

    def _html(self) -> str:
        ended = self._finished == self._runs
        share = 1.0 if ended else min(self._done / max(self._total, 1), 1.0)
        passed = time.monotonic() - self._start
        said = [f"{self._finished}/{self._runs} runs", f"elapsed {_clock(passed)}"]
        if 0 < share < 1:
            said.append(f"left {_clock(passed * (1 - share) / share)}")
        reasons = "".join(f"<div>{escape(reason)}</div>" for reason in self._reasons)
        return (
            f'<progress value="{share:.3f}" max="1" aria-label="runs"></progress> '
            f"{' · '.join(said)}{reasons}"
        )


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
