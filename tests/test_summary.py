from pathlib import Path

import synthetic
from rich.console import Console

from sgdscope.report import terminal as summary
from sgdscope.results.tables import Results
from sgdscope.results.view import View


def printed(results: Results, *, width: int = 100) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(summary.table(View(results), width=width))
    console.file.close()
    return console.export_text()


def test_a_row_for_each_line_and_batch_size(tmp_path: Path) -> None:
    text = printed(Results.load(synthetic.study(tmp_path).path)).replace("\N{NO-BREAK SPACE}", " ")
    header, *rows = text.splitlines()
    said = ["schedule", "batch", "test", "FGSM", "0.05", "PGD", "0.05", "λ₁", "loss", "runs"]
    assert header.split() == said
    assert len(rows) == 4 * 3
    assert rows[0].startswith("fixed, m = 0 ")
    assert "1 diverged" in text
    assert "1 collapsed" in text
    assert "1 failed" in text


def test_fits_in_a_terminal(tmp_path: Path) -> None:
    folder = synthetic.study(
        tmp_path,
        models=["resnet18", "stdcnn"],
        data=["fashion_mnist"],
        lines=[("constant-ratio", 0.9), ("fixed", 0.0)],
        batch_sizes=[64, 16384],
    )
    text = printed(Results.load(folder.path))
    (panel,) = (line for line in text.splitlines() if line.startswith("stdcnn fashion_mnist"))
    assert panel.split()[2:] == ["eps", "0.05", "eps", "0.05"]
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_narrow_terminal_has_no_bands(tmp_path: Path) -> None:
    text = printed(Results.load(synthetic.study(tmp_path).path), width=80)
    assert "…" not in text
    assert "±" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_nothing_finished() -> None:
    assert summary.table(View(Results.collect([]))).row_count == 0
