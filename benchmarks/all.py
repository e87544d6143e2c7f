"""Every benchmark, small, and the tables of what they found, with machine and date.

    python benchmarks/all.py [attacks curvature …] [--out benchmarks/RESULTS.md]

Each runs in a process of its own, with the arguments below, which take minutes in place of hours:
the docs take their tables from here (`make tables`), and name the command beside every figure of a
longer run. The file is written after each benchmark, so that a run that is stopped leaves the first
ones. A failure is noted under its heading, and the exit code is 1. Needs the peers and the data:
`make bench`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import runpy
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
SMALL = [
    "attacks --threads 1 --epochs 1 --examples 200 --eps 0.1",
    "attacks --strong --threads 1 --epochs 1 --examples 200 --eps 0.15",
    "audit --threads 1 --epochs 1 --examples 50",
    "nearest --examples 10",
    "trust --epochs 1 --examples 200 --strong-examples 20",
    "masking --data digits --norm linf",
    "curvature stdcnn --threads 1",
    "watch --threads 1 --epochs 4 --examples 200 --train-size 2000",
    "spectra --threads 1",
    "memory 16 --threads 1",
    "silent",
    "verdicts",
    "training --runs 2 --epochs 1 --train-size 5000",
    "study --runs 2 --epochs 1 --train-size 2000",
    "growth --runs 4 16",
    "plan",
    "measuring --models stdcnn --count 4 --images 200",
    "device --device cpu --smoke --out {scratch}/device.json",
    "arithmetic",
]
PEERS = [
    "torchattacks", "foolbox", "pyhessian", "hessian-eigenthings", "curvlinops-for-pytorch",
]  # fmt: skip


@dataclass
class Done:
    """What one benchmark found: its tables, and lines that it printed beside them."""

    command: str
    seconds: float
    code: int
    tables: list[dict[str, Any]] = field(default_factory=list)  # title, columns, rows
    lines: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Its section."""
        ended = f"{self.seconds:.0f} s." if self.code == 0 else f"Failed, exit code {self.code}."
        parts = [f"## `{self.command}`", ended]
        for table in self.tables:
            parts += [f"**{table['title']}**"] if table["title"] else []
            rows = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
            parts.append("\n".join(f"| {' | '.join(map(cell, row))} |" for row in rows))
        if self.lines:
            parts.append("\n".join(["```", *self.lines, "```"]))
        return "\n\n".join(parts) + "\n\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help="of benchmarks; all if none")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.record:
        record(options.names[0], [*options.names[1:], *rest], options.record)
        return 0
    known = list(dict.fromkeys(line.split()[0] for line in SMALL))
    if unknown := [name for name in [*options.names, *rest] if name not in known]:
        parser.error(f"{', '.join(unknown)}: expected benchmarks among {', '.join(known)}")
    chosen = [line for line in SMALL if line.split()[0] in (options.names or known)]
    head, done = heading(), []
    for line in chosen:
        print(f"{line} …", flush=True)
        done.append(carry_out(line))
        print(f"  {done[-1].seconds:.0f} s, exit code {done[-1].code}", flush=True)
        options.out.write_text((head + "".join(one.markdown() for one in done)).rstrip() + "\n")
    return int(any(one.code for one in done))


def carry_out(line: str) -> Done:
    """Run one benchmark; its tables come as JSON, one a line, all else that it prints as it is."""
    arguments_as_given = line.split()[1:]
    with tempfile.TemporaryDirectory() as scratch:
        words = shlex.split(line.format(scratch=scratch))
        kept = Path(scratch, "tables")
        kept.touch()
        name, arguments = words[0], words[1:]
        start = time.perf_counter()
        ran = subprocess.run(
            [sys.executable, __file__, "--record", str(kept), "--", name, *arguments],
            stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        tables = [json.loads(table) for table in kept.read_text().splitlines()]
    lines = [line.rstrip() for line in ran.stdout.splitlines() if line.strip()]
    command = shlex.join([f"{name}.py", *arguments_as_given])
    return Done(command, seconds, ran.returncode, tables, lines)


def record(name: str, arguments: list[str], kept: Path) -> None:
    """Run a benchmark in this process, and keep every table that it prints."""
    printed = Console.print

    def keep(console: Console, *things: Any, **how: Any) -> None:
        for table in (thing for thing in things if isinstance(thing, Table)):
            with kept.open("a") as file:
                file.write(json.dumps(content(table)) + "\n")
        others = [thing for thing in things if not isinstance(thing, Table)]
        if others:
            printed(console, *others, **how)

    Console.print = keep  # type: ignore[method-assign]
    sys.argv = [str(HERE / f"{name}.py"), *arguments]
    sys.path.insert(0, str(HERE))
    runpy.run_path(sys.argv[0], run_name="__main__")


def content(table: Table) -> dict[str, Any]:
    """A table's title, its columns' names, and its rows."""
    rows = zip(*(column.cells for column in table.columns), strict=True)
    return {
        "title": " ".join(str(table.title or "").split()),
        "columns": [str(column.header) for column in table.columns],
        "rows": [[str(text) for text in row] for row in rows],
    }


def heading() -> str:
    """Where and when, and how busy the machine was before the first benchmark."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PEERS)
    now = datetime.datetime.now(datetime.UTC)
    return (
        "# Benchmarks, small\n\n"
        f"By `make bench`, {now:%-d %B %Y}; {processor()}, {os.cpu_count()} cores, "
        f"{os.getloadavg()[0]:.1f} processes at work in the minute before; "
        f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}. "
        f"Beside {versions}.\n\n"
    )


def processor() -> str:
    """The name that it gives itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cell(text: str) -> str:
    """Of a table in Markdown."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
