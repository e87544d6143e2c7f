"""What the whole paper asks of GPUs: operations counted, hours at an assumed share of the peak.

    python benchmarks/arithmetic.py [--seeds 5] [--share 0.25]

Counts the operations of one training image of each model (torch's counter: a multiply-add is two;
forward and backward, convolutions and matrix products alone) and adds them up over every run of
the paper's studies. No time in it is measured. Needs sgdscope and nothing else.
"""

import argparse
import math

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sgdscope import models
from sgdscope.data import DATA
from sgdscope.study.study import Study

PARTS = ["mnist-m1", "mnist-stdcnn", "fashion-m1", "fashion-stdcnn", "cifar10-c1"]
PARTS += ["cifar10-resnet18"]
PEAKS = {"float32": 67e12, "TF32": 494e12}  # H200 SXM, operations/s, dense, as its maker states
GPUS = [1, 8, 64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.25, help="of the peak that is sustained")
    options = parser.parse_args()
    total = 0.0
    print(f"{'study':18} {'runs':>5} {'Mop/image':>10} {'images':>8} {'Pop/run':>8} {'Pop':>9}")
    for part in PARTS:
        study = Study.load(f"paper/{part}", overrides={"seed": list(range(options.seeds))})
        runs = study.runs
        each = operations(runs[0].model, runs[0].data)
        images = [run.epochs * (DATA[run.data].train_size // run.batch_size) * run.batch_size
                  for run in runs]  # fmt: skip
        total += (work := each * sum(images))
        print(f"{part:18} {len(runs):5} {each / 1e6:10,.1f} {sum(images) / len(runs) / 1e6:7.1f}M "
              f"{work / len(runs) / 1e15:8.3f} {work / 1e15:9,.1f}")  # fmt: skip
    print(f"{'in all':18} {'':35} {total / 1e15:16,.1f}")
    for name, peak in PEAKS.items():
        hours = [total / (gpus * options.share * peak) / 3600 for gpus in GPUS]
        shown = ", ".join(f"{gpus}: {h:,.2f} h" for gpus, h in zip(GPUS, hours, strict=True))
        print(f"{options.share:.0%} of {name}'s {peak / 1e12:.0f} Top/s, by GPUs: {shown}")


def operations(model: str, data: str) -> int:
    """Of one training image, forward and backward."""
    shape = DATA[data].shape
    network = models.build(model, shape=shape, classes=10, seed=0)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(network(torch.rand(4, *shape)), torch.arange(4)).backward()
    return math.ceil(counter.get_total_flops() / 4)


if __name__ == "__main__":
    main()
