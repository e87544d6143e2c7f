"""Keep a study's finished runs in `results/`: `python -m docs.tables.keep STUDY results/NAME`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sgdscope.files import write_text
from sgdscope.results.files import RESULT
from sgdscope.results.folder import StudyFolder
from sgdscope.results.folders import TRAINED

DIGITS = 4  # of evidence and of accuracies while training; verdicts rest on neither
LOSS_DIGITS = 9  # of losses while training, which are float32


def compact(result: dict[str, Any]) -> dict[str, Any]:
    """The result without digits and fields that say nothing; values keep all their digits."""
    for epoch in result["history"]:
        epoch["seconds"] = round(epoch["seconds"], 2)
        epoch["train_loss"] = _rounded(epoch["train_loss"], LOSS_DIGITS)
        epoch["train_accuracy"] = _rounded(epoch["train_accuracy"])
    result["seconds"] = {name: round(taken, 2) for name, taken in result["seconds"].items()}
    result["measurements"] = [_compact(measurement) for measurement in result["measurements"]]
    return result


def _compact(measurement: dict[str, Any]) -> dict[str, Any]:
    evidence = {name: _rounded(value) for name, value in measurement.get("evidence", {}).items()}
    told = measurement | {"evidence": evidence}
    return {name: value for name, value in told.items() if value not in (None, {}, [])}


def _rounded(value: Any, digits: int = DIGITS) -> Any:
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def keep(source: Path, target: Path) -> int:
    """Copy the settings and the results of finished runs; how many there are now."""
    study, kept = StudyFolder(source), StudyFolder(target)
    if not kept.study_file.is_file():
        kept.path.mkdir(parents=True, exist_ok=True)
        write_text(kept.study_file, study.study_file.read_text(encoding="utf-8"))
    for file in sorted(study.path.glob(f"runs/*/{RESULT}")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["status"] in TRAINED:
            there = kept.run_file(file.parent.name, RESULT)
            there.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(compact(result), ensure_ascii=False, separators=(",", ":"))
            write_text(there, text)
    return len(list(kept.path.glob(f"runs/*/{RESULT}")))


if __name__ == "__main__":
    print(keep(Path(sys.argv[1]), Path(sys.argv[2])), "runs kept")
