"""Benchmarks that no other test calls still fit the package, and all of them are in the table."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load(name: str) -> dict:
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name=name)


def test_every_benchmark_is_in_the_table():
    scripts = {
        path.stem
        for path in BENCHMARKS.glob("*.py")
        if '__name__ == "__main__"' in path.read_text()
    }
    assert {line.split()[0] for line in load("all")["SMALL"]} == scripts - {
        "all",
        "pages",  # wants Chromium
        "synthetic",  # makes a folder to time with
    }


def test_a_table_of_a_benchmark_is_one_in_markdown():
    table = Table(title="λ₁ of a\nnetwork")
    for column in ("", "seconds", "|z| > 2"):
        table.add_column(column)
    table.add_row("peer", "2.0", "5%")
    script = load("all")
    done = script["Done"]("x.py", 1.0, 0, [script["content"](table)], ["2 cores"])
    assert done.markdown() == (
        "## `x.py`\n\n1 s.\n\n**λ₁ of a network**\n\n"
        "|  | seconds | \\|z\\| > 2 |\n| --- | --- | --- |\n| peer | 2.0 | 5% |\n\n"
        "```\n2 cores\n```\n\n"
    )


def test_a_benchmark_that_fails_says_so():
    assert "Failed, exit code 3." in load("all")["Done"]("x.py", 1.0, 3).markdown()


def test_simulated_studies_have_the_slope_that_was_put_in():
    values = np.tile(-3.0 * np.arange(6), (2, 1)) + np.array([[0.0], [1.0]])
    assert load("verdicts")["sample"](values).slope.value == pytest.approx(-3)
