"""Judge the kept studies, and write every table that docs/ generates."""

from __future__ import annotations

import re
from collections.abc import Mapping

from docs.tables import benchmarks, remedies
from docs.tables.kept import KEPT, ROOT, Kept, Rows, judge, kept
from docs.tables.means import TABLES
from docs.tables.verdicts import agreement_rows, verdict_rows
from sgdscope.results.folder import StudyFolder
from sgdscope.study.study import Study

PAGES = [ROOT / "docs" / "paper.md", ROOT / "docs" / "remedies.md"]
MARKER = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def runs() -> Rows:
    """Of each folder: its study, how much of it is there, and what that took."""
    yield ["folder", "runs", "of the study's", "seeds", "hours of computing", "processor"]
    for path in sorted(KEPT.glob("*/study.toml")):
        folder = StudyFolder(path.parent)
        found = folder.results()
        seeds = sorted({result.run.seed for result in found})
        hours = sum(sum(result.seconds.values()) for result in found) / 3600
        processors = sorted({result.environment["processor"] for result in found})
        planned = len(Study.parse(folder.settings()).runs)
        numbers = [f"{len(found)}", f"{planned}", ", ".join(map(str, seeds)), f"{hours:.1f}"]
        yield [f"`{path.parent.name}`", *numbers, ", ".join(processors).replace("(R)", "")]


def page(text: str) -> str:
    """The page with every table as the kept results have it."""
    there = kept()

    def made(found: re.Match[str]) -> str:
        head, *body = rows_of(found[2], there)
        rows = [head, ["---"] * len(head), *body]
        table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
        return f"{found[1]}{table}{found[4]}"

    return MARKER.sub(made, text)


def rows_of(name: str, there: Mapping[str, Kept]) -> Rows:
    """The rows of a table, its head first."""
    if name == "runs":
        return runs()
    if name == "claims":
        return verdict_rows(there)
    if name == "agreement":
        return agreement_rows(there["small"], there["full"], data="fashion_mnist")
    if name == "agreement-mnist":
        return agreement_rows(there["small"], there["mnist"], data="mnist")
    if name in remedies.TABLES:
        return remedies.TABLES[name].table(there[remedies.TABLES[name].kept])
    return TABLES[name].table(there)


def main() -> None:
    """Enter here."""
    there = kept()
    for one in there.values():
        judge(one)
    for file in PAGES:
        file.write_text(page(file.read_text(encoding="utf-8")), encoding="utf-8")
    for file in benchmarks.PAGES:
        file.write_text(benchmarks.page(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
