"""Tables of benchmarks/RESULTS.md, for the pages that speak of speed."""

from __future__ import annotations

import re

from docs.tables.kept import ROOT

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PAGES = tuple(ROOT / "docs" / f"{name}.md" for name in ("attacks", "curvature", "scaling"))
MARKER = re.compile(r"(<!-- benchmark: (.*?) -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str) -> str:
    """A page with every table of a benchmark as it came out last, and how.

    ``<!-- benchmark: spectra.py, Density -->`` begins the table of that script whose title begins
    with that word; without a word, all of its
    tables, or where it has none, what it prints.
    """
    results = RESULTS.read_text(encoding="utf-8")
    machine = re.sub(
        r",[^,]*in the minute before", "", results.split("\n\n")[1].split(" Beside ")[0]
    )

    def made(found: re.Match[str]) -> str:
        script, _, title = found[2].partition(", ")
        command, body = _section(results, script)
        tables = re.findall(r"^(?:\*\*(.*)\*\*\n\n)?((?:\|.*\n)+)", body, re.MULTILINE)
        tables = tables or [("", "".join(re.findall(r"^```\n.*?^```\n", body, re.DOTALL | re.M)))]
        shown = "\n".join(
            f"{name}:\n\n{rows}" if name else rows
            for name, rows in tables
            if name.startswith(title)
        )
        return f"{found[1]}{shown}\n(`python benchmarks/{command}`. {machine})\n{found[3]}"

    return MARKER.sub(made, text)


def _section(results: str, script: str) -> tuple[str, str]:
    """The command of a benchmark, by the words that it begins with, and what it found."""
    sections = re.findall(r"^## `([^`]*)`\n(.*?)(?=^## |\Z)", results, re.DOTALL | re.MULTILINE)
    (found,) = [
        (command, body) for command, body in sections if f"{command} ".startswith(f"{script} ")
    ]
    return found
