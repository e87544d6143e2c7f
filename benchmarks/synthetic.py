"""A large study's folder, made from a kept one: its runs again with other seeds, nothing trained.

    python benchmarks/synthetic.py OUT [--source results/paper-small] [--runs 1200] [--weights 0]

Every further seed is a copy of a real run: as many epochs and readings of the same evidence, its
values a few per cent off. So reading, judging and drawing have as much to do as with real runs.
With ``--weights`` each run also has a file of random weights, of so many bytes. The folder is a
finished study: ``sgdscope run OUT/study.toml --out OUT`` finds nothing to do.
"""

import argparse
import itertools
import random
import tomllib
from pathlib import Path

import tomli_w

from sgdscope.files import write_text
from sgdscope.results.files import RESULT, WEIGHTS, digest
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Result
from sgdscope.study.run import Run

SOURCE = Path(__file__).parent.parent / "results" / "paper-small"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--runs", type=int, default=1200, help="at least; whole seeds are added")
    parser.add_argument("--weights", type=int, default=0, metavar="BYTES")
    options = parser.parse_args()
    made = grow(options.source, options.out, runs=options.runs, weights=options.weights)
    print(f"{made} runs in {options.out}")


def grow(source: Path, out: Path, *, runs: int, weights: int = 0) -> int:
    """Write the folder; how many runs it has: those of the source, and whole seeds beside them."""
    results = StudyFolder(source).every_result()
    seeds = sorted({result.run.seed for result in results})
    folder, made = StudyFolder(out), 0
    settings = tomllib.loads((source / "study.toml").read_text(encoding="utf-8"))
    for lap in itertools.count():
        for result in results:
            copy = result if lap == 0 else _again(result, result.run.seed + lap * (seeds[-1] + 1))
            _write(folder, copy, weights)
            made += 1
        if made >= runs:
            break
    wanted = [seed + turn * (seeds[-1] + 1) for turn in range(lap + 1) for seed in seeds]
    for part in settings.get("part", [settings]):
        part["seed"] = wanted
    write_text(folder.study_file, tomli_w.dumps(settings))
    return made


def _again(result: Result, seed: int) -> Result:
    """The same run from another seed: every value a few per cent off."""
    run = Run(**result.run.model_dump() | {"seed": seed})
    draw = random.Random(run.id)
    off = draw.gauss(0, 0.02)
    history = [
        epoch.model_copy(update={"train_loss": epoch.train_loss * (1 + off)})
        for epoch in result.history
    ]
    readings = [
        row.model_copy(update={"value": _near(row.value, off + draw.gauss(0, 0.01))})
        for row in result.measurements
    ]
    return result.model_copy(update={"run": run, "history": history, "measurements": readings})


def _near(value: float, off: float) -> float:
    moved = value * (1 + off)
    return min(moved, 1.0) if value <= 1 else moved


def _write(folder: StudyFolder, result: Result, weights: int) -> None:
    content = random.Random(result.run.id).randbytes(weights)
    digests = {WEIGHTS: digest(content)} if weights else {}
    home = folder.run_file(result.run.id, RESULT)
    home.parent.mkdir(parents=True, exist_ok=True)
    if weights:
        folder.run_file(result.run.id, WEIGHTS).write_bytes(content)
    home.write_text(result.model_copy(update={"digests": digests}).model_dump_json())


if __name__ == "__main__":
    main()
