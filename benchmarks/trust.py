"""What one attack would have said, what a stronger one says, and what giving up costs.

    python benchmarks/trust.py              # attack by loss on four networks, with the evidence
    python benchmarks/trust.py --give-up    # every attack with and without giving up

Networks are trained here; ``--networks`` keeps them. Needs sgdscope alone and the data:
SGDSCOPE_DATA or the hub.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from networks import Case
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sgdscope import attacks
from sgdscope.attacks import Attacked

console = Console(width=160)
LOSSES = ("cross_entropy", "margin", "dlr")


def trust(keep: Path | None, count: int, strong_count: int, epochs: int) -> None:
    """What each attack says of four networks, with each loss, and the evidence beside it."""
    columns = ["network", "eps", "FGSM", "PGD-40", "APGD", f"strong ({strong_count})"]
    columns += ["saturated", "no gradient", "noise", "margin step", "flags of FGSM CE"]
    table = Table(
        title=f"accuracy, CE / margin / DLR, first {count:,} test images, {epochs} epochs"
    )
    for column in columns:
        table.add_column(column, justify="right")
    cases = {
        Case("stdcnn", "mnist", 64, 0.01, 0.9, epochs): [0.1, 0.3],
        Case("stdcnn", "mnist", 64, 0.01, 0.0, epochs): [0.1, 0.3],
        Case("stdcnn", "fashion_mnist", 64, 0.01, 0.9, epochs): [0.05, 0.3],
        Case("stdcnn", "mnist", 1024, 0.16, 0.9, epochs): [0.1, 0.3],
    }
    told: list[str] = []
    for case, eps in cases.items():
        network, data = case.trained(keep)
        x, y = data.test[:count].inputs(), data.test.labels[:count]
        runs = {
            name: [attack(network, x, y, eps=eps, loss=loss) for loss in LOSSES]
            for name, attack in (
                ("FGSM", attacks.fgsm),
                ("PGD", attacks.pgd),
                ("APGD", attacks.apgd),
            )
        }
        best = attacks.strong(network, x[:strong_count], y[:strong_count], eps=eps)
        told += verdicts(case, network, x, y, runs)
        for i, seen in enumerate(attacks.gather(network, x, y, runs["FGSM"][0], loss=LOSSES[0])):
            table.add_row(
                str(case) if i == 0 else "", f"{eps[i]:g}",
                *(" / ".join(f"{of[i].accuracy:.3f}" for of in each) for each in runs.values()),
                f"{best[i].accuracy:.3f}", f"{seen.saturated / seen.right:.2f}",
                str(seen.zero_gradient), f"{seen.noise_fooled:.3f}", f"{seen.weaker_fooled:.3f}",
                str(len(seen.flags())),
            )  # fmt: skip
        table.add_section()
    console.print(table)
    for line in told:
        console.print(f"- {line}")


def verdicts(
    case: Case, network: nn.Module, x: Tensor, y: Tensor, runs: dict[str, list[list[Attacked]]]
) -> list[str]:
    """Every flag of every attack."""
    return [
        f"{case}, eps {result.eps:g}, {name} {loss}: {flag}"
        for name, each in runs.items()
        for loss, results in zip(LOSSES, each, strict=True)
        for result, seen in zip(
            results, attacks.gather(network, x, y, results, loss=loss), strict=True
        )
        for flag in seen.flags()
    ]


class Scaled(nn.Module):
    """Logits × 30: cross-entropy's gradient is rounded off at many points."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, classes)."""
        return self.network(x) * 30


class Binarised(Scaled):
    """Pixels nearly black or white: hardly a gradient unless a pixel is near the middle."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, classes)."""
        return self.network(torch.sigmoid((x - 0.5) * 20))


def give_up(keep: Path | None, count: int) -> None:
    """Accuracy lost, and processor time saved, by giving up points that are out of reach."""
    mnist = Case("stdcnn", "mnist", 64, 0.01, 0.9, 6)
    cases: list[tuple[str, Case, type[Scaled] | None, list[float]]] = [
        ("StdCNN, MNIST", mnist, None, [0.05, 0.1, 0.15]),
        ("  m 0, another seed", Case("stdcnn", "mnist", 64, 0.01, 0.0, 4, 2), None, [0.15]),
        ("  B 1024, lr 0.16", Case("stdcnn", "mnist", 1024, 0.16, 0.9, 6), None, [0.05]),
        ("  logits × 30", mnist, Scaled, [0.15]),
        ("  nearly binarised input", mnist, Binarised, [0.3]),
        ("StdCNN, Fashion-MNIST", Case("stdcnn", "fashion_mnist", 64, 0.01, 0.9, 6), None,
         [0.005, 0.01, 0.02]),
        ("M1, MNIST", Case("m1", "mnist", 64, 0.01, 0.9, 1, 1), None, [0.1]),
        ("C1, CIFAR-10", Case("c1", "cifar10", 64, 0.01, 0.9, 3, 1), None, [0.005]),
    ]  # fmt: skip
    table = Table(title=f"accuracy, images lost, time saved; first {count:,}, M1 and C1 a third")
    for column in ("network", "eps", "PGD-40 CE", "PGD-40 margin", "APGD-100 CE"):
        table.add_column(column, justify="right")
    for label, case, wrap, radii in cases:
        network, data = case.trained(keep)
        network = (wrap(network) if wrap else network).eval()
        some = count if case.model == "stdcnn" else count // 3  # the others are slow
        x, y = data.test[:some].inputs(), data.test.labels[:some]
        for i, eps in enumerate(radii):
            told = [compare(network, x, y, eps, name) for name in ("pgd", "pgd margin", "apgd")]
            table.add_row(label if i == 0 else "", f"{eps:g}", *told)
            console.print(label.strip(), f"{eps:g}", "done")
    console.print(table)


def compare(network: nn.Module, x: Tensor, y: Tensor, eps: float, name: str) -> str:
    kind = attacks.apgd if name == "apgd" else attacks.pgd
    loss = "margin" if "margin" in name else "cross_entropy"
    found, spent = [], []
    for leave in (True, False):
        start = time.process_time()
        (result,) = kind(network, x, y, eps=[eps], loss=loss, give_up=leave)
        found.append(result)
        spent.append(time.process_time() - start)
    lost = int((found[1].fooled & ~found[0].fooled).sum())
    saved = 1 - spent[0] / spent[1]
    return f"{found[0].accuracy:.3f}, {lost} lost, {saved:.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--give-up", action="store_true")
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--strong-examples", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=6, help="that each network is trained")
    parser.add_argument("--networks", type=Path, help="folder to keep the networks in")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.give_up:
        give_up(options.networks, options.examples)
    else:
        trust(options.networks, options.examples, options.strong_examples, options.epochs)


if __name__ == "__main__":
    main()
