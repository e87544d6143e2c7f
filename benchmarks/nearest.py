"""What attacks in ℓ2 lose by giving up, and how far off the median eps is.

    python benchmarks/nearest.py            # two networks of little training, 50 images each
    python benchmarks/nearest.py --large    # four, of them two trained against attacks; 400 images

Costs are gradients a test image, which no other work on the machine changes. The median eps stands
beside bisection with BIM, as it was measured before, and beside the least that all long searches
together find at each point. Where foolbox is installed (benchmarks/requirements.txt), its PGD, FMN
and DDN stand there too. Networks are trained here; ``--networks`` keeps them. Data: SGDSCOPE_DATA
or the hub.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import torch
from counting import Counting
from networks import Case
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import attacks
from sgdscope.attacks import ball
from sgdscope.attacks.descent import FixedSteps
from sgdscope.attacks.points import Norm, Points
from sgdscope.attacks.victim import Victim, frozen
from sgdscope.data import Dataset

console = Console(width=150)
PEER = importlib.util.find_spec("foolbox") is not None


def harden(network: nn.Module, data: Dataset, norm: Norm, eps: float, images: int) -> None:
    """Train against PGD-4 in three passes over ``images``, whose eps grows to ``eps``."""
    sgd = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    order = torch.Generator().manual_seed(0)
    for number in range(3):
        for some in torch.randperm(images, generator=order).split(64):
            x, y = data.train[some].inputs(), data.train.labels[some]
            radius = torch.full((len(y),), eps * min(1.0, (number + 1) / 2))
            points = Points(x, y, torch.arange(len(y)), x)
            now = ball.start(points, radius, norm, seed=number, number=int(some[0]))
            network.eval()
            with frozen(network):
                for _ in range(4):
                    victim = Victim(network, x.device)
                    _, slope = victim.gradients(now, points, attacks.losses.LOSSES["cross_entropy"])
                    now = ball.step(now, slope, radius * 0.6, x, radius, norm)
            network.train()
            sgd.zero_grad()
            F.cross_entropy(network(now), y).backward()
            sgd.step()
    network.eval()


def networks(keep: Path | None, large: bool) -> Iterator[tuple[str, nn.Module, Dataset, float]]:
    """Name, network, data and the ℓ2 radius at which giving up is tried."""
    size, epochs = (None, 2) if large else (10_000, 1)
    for data, radius in (("mnist", 1.4), ("fashion_mnist", 0.25)):
        network, loaded = Case("stdcnn", data, 64, 0.01, 0.9, epochs, train_size=size).trained(keep)
        yield f"StdCNN, {data}", network, loaded, radius
    hardened: list[tuple[Norm, float, float]] = [("linf", 0.25, 2.5), ("l2", 2.0, 2.0)]
    for norm, eps, radius in hardened if large else []:
        network, loaded = Case("stdcnn", "mnist", 64, 0.01, 0.9, epochs).trained(keep)
        kept = keep / f"hardened-{norm}.safetensors" if keep else None
        if kept and kept.exists():
            load_model(network, kept)
        else:
            harden(network, loaded, norm, eps, 12_000)
            if kept:
                save_model(network, kept)
        yield f"  trained against {norm} {eps:g}", network.eval(), loaded, radius


def giving_up(
    table: Table, name: str, network: nn.Module, x: Tensor, y: Tensor, eps: float
) -> None:
    """Accuracy with and without giving up, and at what cost."""
    cells = [name, f"{eps:g}"]
    for attack, loss in ((attacks.pgd, "cross_entropy"), (attacks.pgd, "margin"),
                         (attacks.apgd, "cross_entropy")):  # fmt: skip
        found, cost = [], []
        for give_up in (True, False):
            counting = Counting(network).eval()
            found += attack(counting, x, y, eps=[eps], loss=loss, norm="l2", give_up=give_up)
            cost.append(counting.gradients / len(y))
        lost = int((found[1].fooled & ~found[0].fooled).sum())
        cells.append(f"{found[0].accuracy:.4f}, {lost} lost, {cost[0]:.0f} of {cost[1]:.0f}")
    theirs = "–"
    if PEER:
        import foolbox

        peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.L2PGD(rel_stepsize=1 / 15, steps=40)
        theirs = f"{1 - attack(peer, x, y, epsilons=eps)[2].double().mean().item():.4f}"
    table.add_row(*cells, theirs)


def by_bisection(network: nn.Module, x: Tensor, y: Tensor, norm: Norm) -> Tensor:
    """(N,): the smallest eps that fools, by ten attacks with BIM-20 of eps/8."""
    walk, count = FixedSteps(20, 1 / 8, "margin", norm), len(y)
    points, victim = Points(x, y, torch.arange(count), x), Victim(network, x.device)
    with frozen(network):
        low, high = torch.zeros(count), torch.full((count,), torch.inf)
        high[points.fooled(victim.logits(x))] = 0
        guess = torch.full((count,), 0.1 if norm == "linf" else 1.0)
        for _ in range(10):
            open_ = (high > 0).nonzero().squeeze(1)
            fooled = walk(victim, points[open_], guess[open_]).fooled
            high[open_] = torch.where(fooled, guess[open_], high[open_])
            low[open_] = torch.where(fooled, low[open_], guess[open_])
            guess = torch.where(high.isinf(), low * 1.5, (low * high).sqrt())
            guess = torch.where(low == 0, high / 1.5, guess)
    return high


def middle(distances: Tensor) -> float:
    """Half of the points are as near."""
    return distances.quantile(0.5, interpolation="higher").item()


def by_peer(network: nn.Module, x: Tensor, y: Tensor, norm: Norm, steps: int) -> Iterator[Tensor]:
    """(N,) each: distances that foolbox's FMN and, in ℓ2, DDN find."""
    import foolbox

    kinds = {"linf": (foolbox.attacks.LInfFMNAttack,),
             "l2": (foolbox.attacks.L2FMNAttack, foolbox.attacks.DDNAttack)}  # fmt: skip
    peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    for kind in kinds[norm]:
        found = kind(steps=steps).run(peer, x, y)
        distance = ball.length(found - x, norm)
        with torch.no_grad():
            yield torch.where(network(found).argmax(1) == y, torch.inf, distance)


def median(table: Table, name: str, network: nn.Module, x: Tensor, y: Tensor, norm: Norm,
           long: int) -> None:  # fmt: skip
    """The median before and now, and the least that ``long`` searches find."""
    counting = Counting(network).eval()
    now = attacks.smallest_eps(counting, x, y, norm=norm, median_only=True)
    every = attacks.smallest_eps(network, x, y, norm=norm)
    before = by_bisection(network, x, y, norm)
    least = torch.minimum(torch.minimum(now.fools, every.fools), before)
    for loss in ("margin", "cross_entropy"):
        found = attacks.smallest_eps(network, x, y, norm=norm, loss=loss, steps=long, rounds=4)
        least = torch.minimum(least, found.fools)
    peers = list(by_peer(network, x, y, norm, long)) if PEER else []
    for found in peers:
        least = torch.minimum(least, found)
    table.add_row(
        name, norm, f"{middle(before):.4f}", f"{now.median_holds:.4f} … {now.median:.4f}",
        f"{counting.gradients / len(y):.0f}", f"{every.median:.4f}",
        ", ".join(f"{middle(found):.4f}" for found in peers) or "–", f"{middle(least):.4f}",
        f"{middle(before) / middle(least) - 1:+.1%}", f"{now.median / middle(least) - 1:+.1%}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--examples", type=int, help="50 by default; 400 with --large")
    parser.add_argument("--networks", type=Path, help="folder to keep the networks in")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = options.examples or (400 if options.large else 50)
    lost = Table(title=f"ℓ2: accuracy, images lost, gradients of all; first {count} test images")
    for column in ("network", "eps", "PGD-40 CE", "PGD-40 margin", "APGD-100 CE", "foolbox PGD-40"):
        lost.add_column(column, justify="right")
    near = Table(title=f"median eps; first {count} test images")
    for column in ("network", "norm", "bisection", "now", "gradients", "whole", "foolbox",
                   "least", "bisection over", "now over"):  # fmt: skip
        near.add_column(column, justify="right")
    for name, network, data, radius in networks(options.networks, options.large):
        x, y = data.test[:count].inputs(), data.test.labels[:count]
        giving_up(lost, name, network, x, y, radius)
        for norm in ("linf", "l2"):
            median(near, name, network, x, y, norm, 100 if options.large else 50)
            console.print(name.strip(), norm, "done")
    console.print(lost, near)


if __name__ == "__main__":
    main()
