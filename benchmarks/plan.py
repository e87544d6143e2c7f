"""What ``--plan`` says beside what it then takes: three small studies on this machine.

    python benchmarks/plan.py [digits mnist cifar10] [--workers 2]

Wall-clock times compare on quiet cores alone; processor times, of the workers without their start,
compare on busy ones too. The plan itself is timed as well.
"""

import argparse
import os
import resource
import tempfile
import time

from rich.console import Console
from rich.table import Table

import sgdscope
from sgdscope.execution import plan as planning
from sgdscope.execution.local import default_workers
from sgdscope.study.study import Study

ALONG = {"batch_size": [16, 64], "seed": [0, 1], "schedule": "fixed", "momentum": 0.9}
STUDIES = {
    "digits": ("quick", None, {"batch_size": [16, 64], "seed": [0, 1]}),
    "mnist": ("paper/mnist-stdcnn", None, ALONG | {"epochs": 3, "train_size": 5000}),
    "cifar10": ("paper/cifar10-c1", None, ALONG | {"epochs": 3, "train_size": 2000}),
}
FEWER = {  # of the paper's studies, in which measures would take hours
    "measure.fgsm_accuracy.examples": 1000, "measure.pgd_accuracy.examples": 300,
    "measure.fgsm_margin_accuracy.examples": 300, "measure.pgd_margin_accuracy.examples": 100,
    "measure.robustness_area.examples": 50, "measure.median_eps.examples": 50,
    "measure.top_eigenvalue.examples": 500,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="STUDY", help=", ".join(STUDIES))
    parser.add_argument("--workers", type=int, default=default_workers("cpu"))
    options = parser.parse_args()
    table = Table("study", "plan took", "said", "took", "ratio", "CPU said", "CPU took", "ratio")
    for name in options.names or STUDIES:
        table.add_row(name, *compared(load(name), options.workers))
    Console().print(table)
    print(f"{os.cpu_count()} cores, {os.getloadavg()[0]:.1f} processes at work")


def load(name: str) -> Study:
    source, budget, overrides = STUDIES[name]
    fewer = FEWER if source.startswith("paper") else {}
    return Study.load(source, budget=budget, overrides=overrides | fewer)


def compared(study: Study, workers: int) -> list[str]:
    """Cells: seconds that were said and that it took, on the clock and of the processor."""
    start = time.perf_counter()
    made = planning.plan(study, device="cpu", workers=workers)
    planned = time.perf_counter() - start
    start, before = time.perf_counter(), processor()
    with tempfile.TemporaryDirectory() as out:
        sgdscope.run(study, out=out, device="cpu", workers=workers)
    took, busy = time.perf_counter() - start, processor() - before
    said = sum(cost.seconds for cost in made.costs) + made.busy * planning.START
    return [
        f"{planned:.0f} s",
        f"{made.seconds:.0f} s", f"{took:.0f} s", f"{made.seconds / took:.2f}",
        f"{said:.0f} s", f"{busy:.0f} s", f"{said / busy:.2f}",
    ]  # fmt: skip


def processor() -> float:
    """Seconds of the processor that finished child processes have had."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
