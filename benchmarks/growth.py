"""What more runs cost: time and memory of studies that differ in their number of runs alone.

    python benchmarks/growth.py [--runs 4 16 64]

Each study runs in a process of its own. Peak memory is that of its driver and largest worker.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

import sgdscope
from sgdscope.study.study import Study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(one(options.alone)))
        return
    table = Table("runs", "seconds", "seconds a run", "driver, MiB", "largest worker, MiB")
    for runs in options.runs:
        command = [sys.executable, __file__, "--alone", str(runs)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds, driver, worker = json.loads(told.splitlines()[-1])
        table.add_row(
            str(runs), f"{seconds:.1f}", f"{seconds / runs:.2f}", f"{driver:.0f}", f"{worker:.0f}"
        )
    Console().print(table)
    print(f"{os.cpu_count()} cores")


def one(runs: int) -> tuple[float, float, float]:
    """Seconds of a study of so many runs, and the peak memory of its processes in MiB."""
    study = Study.load(
        "quick",
        overrides={
            "batch_size": 32, "schedule": "fixed", "momentum": 0.9, "epochs": 2,
            "seed": list(range(runs)),
        },
    )  # fmt: skip
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        sgdscope.run(study, out=out)
        seconds = time.perf_counter() - start
    peaks = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    driver, worker = (peak / 1024 for peak in peaks)
    return seconds, driver, worker


if __name__ == "__main__":
    main()
