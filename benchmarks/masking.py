"""Which masks the evidence beside an accuracy flags, which honest networks, and at what price.

    python benchmarks/masking.py                     # PGD-40 in both norms on both data
    python benchmarks/masking.py --attack strong     # the same beside another attack
    python benchmarks/masking.py --data digits --norm linf --all   # every row, with the counts

A mask counts as harmful where the attack leaves at least 2% more than what is left with examples
made on the same weights without it. The cost is in images, forward and backward, of PGD-40's on the
same points. Networks are trained here; ``--networks`` keeps them. Fashion-MNIST: SGDSCOPE_DATA or
the hub.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from counting import Counting
from honest import HONEST, PLAIN, Images
from masks import HELD_OUT, MASKS, Masked
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sgdscope import attacks
from sgdscope.attacks import Attacked, Evidence

console = Console(width=180)
EPS = {
    ("digits", "linf"): 0.1, ("digits", "l2"): 1.2,
    ("fashion_mnist", "linf"): 0.04, ("fashion_mnist", "l2"): 0.6,
}  # fmt: skip
ATTACKS: dict[str, tuple[Callable[..., list[Attacked]], Any]] = {
    "fgsm": (attacks.fgsm, "cross_entropy"),
    "pgd": (attacks.pgd, "cross_entropy"),
    "pgd-margin": (lambda *a, **k: attacks.pgd(*a, loss="margin", **k), "margin"),
    "apgd": (attacks.apgd, "cross_entropy"),
    "strong": (lambda *a, **k: attacks.strong(*a, steps=30, queries=200, **k), "margin"),
}
HARM = 0.02


@dataclass(frozen=True)
class Row:
    """One network, attacked."""

    name: str
    held_out: bool
    read: float  # the accuracy under attack
    true: float  # at most
    seen: Evidence
    cost: float  # of the evidence, over that of PGD-40

    @property
    def flagged(self) -> bool:
        """By anything."""
        return bool(self.seen.flags())

    @property
    def harmful(self) -> bool:
        """The accuracy is wrong."""
        return self.read - self.true >= HARM


class Bench:
    """One data set and norm."""

    def __init__(self, data: str, norm: Any, attack: str, keep: Path | None) -> None:
        self.images, self.norm, self.eps = Images.load(data), norm, EPS[data, norm]
        self.attack, self.loss = ATTACKS[attack]
        self.keep, self.data = keep, data

    def honest(self) -> list[Row]:
        """The networks that hide nothing."""
        rows = []
        for name, recipe in HONEST.items():
            network = recipe.network(name, self.keep, self.data, self.images)
            rows.append(self._row(name, recipe.held_out, network, None))
        return rows

    def masked(self) -> list[Row]:
        """The masks, on one of those."""
        network = HONEST[PLAIN].network(PLAIN, self.keep, self.data, self.images)
        x, y = self.images.test, self.images.test_labels
        (known,) = attacks.apgd(network, x, y, eps=[self.eps], norm=self.norm, loss="margin")
        return [
            self._row(name, name in HELD_OUT, Masked(network, mask).eval(), known.inputs)
            for name, mask in MASKS.items()
        ]

    def _row(self, name: str, held_out: bool, network: nn.Module, known: Tensor | None) -> Row:
        torch.manual_seed(0)
        x, y = self.images.test, self.images.test_labels
        (result,) = self.attack(network, x, y, eps=[self.eps], norm=self.norm)
        counting = Counting(network).eval()
        (seen,) = attacks.gather(counting, x, y, [result], loss=self.loss, norm=self.norm)
        right = ~result.fooled
        if known is not None:
            with torch.no_grad():
                right &= network(known).argmax(1) == y
        cost = counting.passes / (len(x) + 2 * 40 * seen.right)
        return Row(name, held_out, result.accuracy, right.double().mean().item(), seen, cost)


def show(title: str, rows: list[Row]) -> None:
    """One line a network."""
    table = Table(title=title)
    columns = (
        "network,held out,read,at most,flags,step,uphill,idle,loss,end,path,nearest,margin,cost"
    )
    for column in columns.split(","):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in rows:
        m = row.seen.masking
        table.add_row(
            row.name, "yes" if row.held_out else "", f"{row.read:.3f}", f"{row.true:.3f}",
            str(len(row.seen.flags())), f"{m.step_wrong}/{m.probed}",
            f"{m.uphill_wrong}", f"{m.idle_wrong}", f"{m.loss_wrong}/{m.loss_tried}",
            f"{m.end_wrong}/{m.ends}",
            f"{m.path_missed}/{m.paths}", f"{m.nearest_beats}/{m.nearest_tried}",
            str(row.seen.weaker_beats), f"{row.cost:.1%}",
        )  # fmt: skip
    console.print(table)


def report(title: str, masked: list[Row], honest: list[Row]) -> None:
    """The rates, and which network is on the wrong side."""
    for kind, held_out in (("tuned on", False), ("held out", True)):
        masks = [row for row in masked if row.held_out == held_out]
        harmful = [row for row in masks if row.harmful]
        networks = [row for row in honest if row.held_out == held_out]
        console.print(
            f"{title}, {kind}: {sum(r.flagged for r in masks)} of {len(masks)} masks flagged "
            f"({sum(r.flagged for r in harmful)} of {len(harmful)} harmful ones), "
            f"{sum(r.flagged for r in networks)} of {len(networks)} honest networks"
        )
    for row in masked:
        if row.harmful and not row.flagged:
            console.print(f"  missed: {row.name}, {row.read:.3f} read, at most {row.true:.3f}")
    for row in honest:
        for flag in row.seen.flags():
            console.print(f"  {row.name}, {row.read:.3f}: {flag}")
    worst = max(row.cost for row in masked + honest)
    console.print(f"  cost: at most {worst:.1%} of PGD-40")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=["digits", "fashion_mnist"], action="append")
    parser.add_argument("--norm", choices=["linf", "l2"], action="append")
    parser.add_argument("--attack", choices=list(ATTACKS), default="pgd")
    parser.add_argument("--all", action="store_true", help="print every row")
    parser.add_argument("--networks", type=Path, help="folder to keep the networks in")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for data in options.data or ["digits", "fashion_mnist"]:
        for norm in options.norm or ["linf", "l2"]:
            bench = Bench(data, norm, options.attack, options.networks)
            masked, honest = bench.masked(), bench.honest()
            title = f"{options.attack}, {data}, {norm}, eps {bench.eps:g}"
            if options.all:
                show(title, masked + honest)
            report(title, masked, honest)


if __name__ == "__main__":
    main()
