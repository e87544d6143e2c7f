"""The three numbers of an audit side by side with torchattacks' AutoAttack and PyHessian.

    python benchmarks/audit.py --threads 1 --examples 1000     # hours: AutoAttack

One StdCNN, trained here on MNIST; accuracy under the strongest attack on the first test images, λ₁
and trace of the Hessian of the first training images, as many of each. sgdscope runs with its
defaults, AutoAttack with the 100 steps a run and 5,000 queries of its paper, PyHessian
as shipped, but with all its 100 probes: its own rule ended after a few, 36% off.
Turn by turn in one process. With ``--threads 1`` seconds are processor time, which other work on
the machine stretches least. Accuracies are recomputed here from the images that each returns.

Peers: torchattacks, PyHessian (benchmarks/requirements.txt). Data: SGDSCOPE_DATA or the hub.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from pathlib import Path

import torch
from attacks import accuracy, autoattack, in_batches, ours_strong, seconds
from networks import Case
from problems import released_gradients
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import curvature

console = Console(width=120)
BATCH = 100  # of AutoAttack
CLOSE = {"strongest attack": 0.005, "λ₁": 0.005, "trace": 0.15}  # accuracy in points, else a share


def ours(network: nn.Module, x: Tensor, y: Tensor) -> dict[str, partial[Tensor]]:
    """λ₁ and trace."""

    def top() -> Tensor:
        return curvature.top_eigenvalues(curvature.Hessian(network, x, y)).values[0]

    def trace() -> Tensor:
        found = curvature.trace(curvature.Hessian(network, x, y), tolerance=0.05)
        return torch.tensor(found.value)

    return {"λ₁": partial(top), "trace": partial(trace)}


def theirs(network: nn.Module, x: Tensor, y: Tensor) -> dict[str, partial[Tensor]]:
    """The same by PyHessian, with its own stopping rules."""
    import pyhessian

    def matrix() -> pyhessian.hessian:
        torch.manual_seed(0)
        return pyhessian.hessian(network, F.cross_entropy, data=(x, y), cuda=False)

    def top() -> Tensor:
        with released_gradients(network):
            return torch.tensor(matrix().eigenvalues()[0][0])

    def trace() -> Tensor:
        with released_gradients(network):
            return torch.tensor(statistics.mean(matrix().trace(tol=0)))

    return {"λ₁": partial(top), "trace": partial(trace)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--eps", type=float, default=0.12)
    parser.add_argument("--epochs", type=int, default=2, help="that the network is trained")
    parser.add_argument("--adversarial", type=float, help="eps that it is trained against")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--networks", type=Path, help="folder to keep the network in")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # torchattacks imports torchvision, which has no CPU build for every torch.
    torch.library.Library("torchvision", "DEF").define("nms(Tensor a, Tensor b, float c) -> Tensor")
    method = {}
    if options.adversarial:
        method = {
            "method": "adversarial-training",
            "method_options": {"eps": options.adversarial, "steps": 5, "natural_epochs": 1},
        }
    case = Case("stdcnn", options.data, 64, 0.01, 0.9, options.epochs, **method)
    network, data = case.trained(options.networks)
    count, eps = options.examples, options.eps
    train, test = data.train[:count], data.test[:count]
    x, y = test.inputs(), test.labels
    mine: dict[str, partial[Tensor]] = {
        "strongest attack": partial(ours_strong, eps, network, x, y),
        **ours(network, train.inputs(), train.labels),
    }
    peer: dict[str, partial[Tensor]] = {
        "strongest attack": partial(
            in_batches, partial(autoattack, eps, 100, 5000), network, x, y, BATCH,
            torch.channels_last,
        ),
        **theirs(network, train.inputs(), train.labels),
    }  # fmt: skip
    table = Table(title=f"An audit of StdCNN, {options.data}, {count:,} images, eps {eps:g}")
    for column in ("number", "sgdscope", "peers", "seconds", "peers' seconds", "ratio", ""):
        table.add_column(column, justify="right")
    spent = [0.0, 0.0]
    for name in mine:
        values = []
        for which, work in enumerate((mine[name], peer[name])):
            taken, answer = seconds(work)
            spent[which] += taken
            attacked = name == "strongest attack"
            values.append(accuracy(network, x, y, answer, eps) if attacked else float(answer))
            if not which:
                first = taken
        off = values[0] - values[1] if attacked else abs(values[0] / values[1] - 1)
        verdict = "the same" if off <= CLOSE[name] else f"differ by {off:.2g}"
        table.add_row(
            name, f"{values[0]:.4g}", f"{values[1]:.4g}", f"{first:.1f}", f"{taken:.1f}",
            f"{taken / first:.1f}×", verdict,
        )  # fmt: skip
    table.add_row(
        "all", "", "", f"{spent[0]:.1f}", f"{spent[1]:.1f}", f"{spent[1] / spent[0]:.1f}×", ""
    )
    console.print(table)


if __name__ == "__main__":
    main()
