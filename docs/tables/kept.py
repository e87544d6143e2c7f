"""The kept results, judged; a page of the verdicts lies beside each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from sgdscope.claims import Evidence, Verdict
from sgdscope.claims.verdicts import END
from sgdscope.commands.study_folder import verdicts_page
from sgdscope.files import write_text
from sgdscope.findings import Judged
from sgdscope.results.folder import StudyFolder
from sgdscope.results.tables import Results

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "results"
FULL = sorted(path.name for path in KEPT.glob("fashion-stdcnn*"))  # one study in several folders
JUDGED = "fashion-stdcnn-seeds"  # which of them keeps the verdicts on all
FASHION = ("stdcnn", "fashion_mnist")
ACCURACY, MARGIN = "test_accuracy", "pgd_margin_accuracy"
MEDIAN, CURVATURE = "median_eps", "top_eigenvalue"
Rows = Iterator[list[str]]


class Kept:
    """One study's results, from one folder or several, and the page of verdicts on them."""

    def __init__(self, *names: str, verdicts: str) -> None:
        self.folders = [StudyFolder(KEPT / name) for name in names]
        self.page = StudyFolder(KEPT / verdicts).verdicts

    @cached_property
    def results(self) -> Results:
        """Of all the folders."""
        there = [folder.path for folder in self.folders if folder.study_file.is_file()]
        return Results.load(*there) if there else Results.collect([])

    @cached_property
    def ends(self) -> Evidence:
        """At the end of training."""
        return Evidence(self.results, END)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """On all runs, as far as they do not hang on a processor's last digits."""
        return [_settled(one) for one in self.judged.verdicts]

    @cached_property
    def judged(self) -> Judged:
        """The results with their verdicts, judged now."""
        return Judged(self.results)


def settled(value: float) -> float:
    """Without the last digits, which differ between processors and would decide a tie."""
    return float(f"{value:.9g}")


def _settled(verdict: Verdict) -> Verdict:
    numbers = {name: getattr(verdict, name) for name in ("value", "low", "high")}
    return replace(
        verdict, **{name: settled(one) for name, one in numbers.items() if one is not None}
    )


def kept() -> dict[str, Kept]:
    """What the tables are of."""
    return {
        "small": Kept("paper-small", verdicts="paper-small"),
        "seed 0": Kept("fashion-stdcnn", verdicts="fashion-stdcnn"),
        "full": Kept(*FULL, verdicts=JUDGED),
        "mnist": Kept("mnist-stdcnn", verdicts="mnist-stdcnn"),
        "extended": Kept("extended-small", verdicts="extended-small"),
        "remedies-digits": Kept("remedies-digits", verdicts="remedies-digits"),
        "remedies-cifar10": Kept("remedies-cifar10", verdicts="remedies-cifar10"),
    }


def judge(one: Kept) -> None:
    """Write the page of verdicts on all of a study's runs, from whichever folders."""
    write_text(one.page, verdicts_page(one.judged))
