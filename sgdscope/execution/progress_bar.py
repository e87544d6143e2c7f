"""Progress in the terminal: how far a study is, and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console
from rich.markup import escape

from sgdscope.execution.messages import Event, Message, Task
from sgdscope.results.record import Outcome, Result
from sgdscope.study.line import labels


def bar(
    console: Console, *, done: progress.ProgressColumn, quiet: bool = False
) -> progress.Progress:
    """A bar with the time elapsed and left; nothing if ``quiet`` or not at a terminal.

    Args:
        console: where it is shown.
        done: the format of the numbers.
        quiet: show nothing.
    """
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=30),
        done,
        progress.TextColumn("elapsed"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
        speed_estimate_period=600,
    )


def to_come(tasks: Sequence[Task]) -> int:
    """The number of epochs and measures in all tasks, each of which is one event."""
    return sum((task.run.epochs or 1) + len(task.measures) for task in tasks)


class RunProgress:
    """A bar over all epochs and measures to come, and a line for each run that ends.

    If the output is not a terminal, only the lines are printed.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.finished = 0
        self._tasks: dict[str, Task] = {}
        self._labels: dict[str, str] = {}
        self._bar = bar(console, done=progress.TaskProgressColumn())
        self._id = self._bar.add_task("runs", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, tasks: Sequence[Task]) -> None:
        """Called once, with all tasks."""
        self._tasks = {task.run.id: task for task in tasks}
        lines = list(dict.fromkeys(task.run.line for task in tasks))
        short = dict(zip(lines, labels(lines), strict=True))
        self._labels = {task.run.id: short[task.run.line] for task in tasks}
        self._bar.update(self._id, total=to_come(tasks))
        self._describe()

    def tell(self, message: Message) -> None:
        """Called with every message."""
        if isinstance(message, Event):
            self._bar.advance(self._id)
        elif isinstance(message, Outcome):
            self.finished += 1
            self._describe()
            self._print(message.result)

    def _print(self, result: Result) -> None:
        run, status = result.run, result.status
        colour = {"done": "green", "failed": "red"}.get(status, "yellow")
        seconds = sum(result.seconds.values())
        self.console.print(
            f"[{colour}]{status:9}[/] {self.finished:>{len(str(len(self._tasks)))}}"
            f"/{len(self._tasks)} [dim]{run.id}[/] {escape(f'{run.model} on {run.data}')}: "
            f"{escape(self._labels[run.id])}, B = {run.batch_size}, seed {run.seed} "
            f"[dim]{seconds:.1f} s[/]",
            highlight=False,
        )
        if result.reason:
            self.console.print(f"          {result.reason}", markup=False, highlight=False)

    def _describe(self) -> None:
        self._bar.update(self._id, description=f"{self.finished}/{len(self._tasks)} runs")
