"""Peak memory of λ₁ of an untrained ResNet18, by the number of examples.

    python benchmarks/memory.py 32 [--threads 1]

One number at a time: what a process has once had in memory counts for all that comes after it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from sgdscope.curvature import Hessian, top_eigenvalues
from sgdscope.data import load
from sgdscope.models import build

GRAPHS = 2**28  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("examples", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = load("cifar10")
    images = data.train[: options.examples]
    model = build("resnet18", shape=data.shape, classes=10, seed=0).eval()
    before = peak_memory()
    hessian = Hessian(model, images.inputs(), images.labels, memory=GRAPHS)
    found = top_eigenvalues(hessian)
    print(
        f"resnet18, {options.examples} examples in chunks of {hessian.chunk}, "
        f"{found.products} products, graphs of {GRAPHS >> 20} MiB kept at most, "
        f"a vector {4 * hessian.size >> 20} MiB: peak memory "
        f"{(peak_memory() - before) / 2**30:.2f} GiB above the network and data"
    )


def peak_memory() -> int:
    """The most bytes this process has had in memory. A child's ``ru_maxrss`` has its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("the peak of memory is read from /proc/self/status, which only Linux has")


if __name__ == "__main__":
    main()
