"""Attacks side by side with torchattacks and foolbox.

    python benchmarks/attacks.py --threads 1               # PGD, about 4 minutes
    python benchmarks/attacks.py --threads 1 --strong      # strong beside AutoAttack, about 5

Each contestant attacks the same StdCNN, trained here, and the same first test images of MNIST. The
peers first try batch sizes and memory layouts on a few images and then use their fastest; sgdscope
runs with its defaults, and once taking every step and counting the last iterate alone, as the peers
do. Accuracies are recomputed here from the adversarial images that each returns, after clipping to
the ball and to [0, 1]. With ``--threads 1`` seconds are processor time, which other work on the
machine stretches least.

Peers: torchattacks, foolbox (benchmarks/requirements.txt). Data: SGDSCOPE_DATA or the hub.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from networks import Case
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sgdscope import attacks
from sgdscope.attacks.descent import FixedSteps
from sgdscope.attacks.points import Points
from sgdscope.attacks.victim import Victim, frozen

warnings.filterwarnings("ignore")
console = Console(width=120)
STEPS, STEP_SIZE = 40, 1 / 15
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
Contestants = dict[str, Callable[[float], Callable[[], Tensor]]]


def torchattacks_pgd(eps: float, steps: int, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import torchattacks

    return torchattacks.PGD(network, eps=eps, alpha=eps * STEP_SIZE, steps=steps)(x, y)


def autoattack(
    eps: float, steps: int, queries: int, network: nn.Module, x: Tensor, y: Tensor
) -> Tensor:
    import torchattacks

    attack = torchattacks.AutoAttack(network, eps=eps, seed=0)
    *by_gradient, square = attack._autoattack.attacks
    for each in by_gradient:
        each.steps = steps
    square.n_queries = queries
    return attack(x, y)


def foolbox_pgd(eps: float, steps: int, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import foolbox

    peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(rel_stepsize=STEP_SIZE, steps=steps)
    return attack(peer, x, y, epsilons=eps)[1]


def ours_pgd(eps: float, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    (result,) = attacks.pgd(network, x, y, eps=[eps], steps=STEPS, step_size=STEP_SIZE)
    return result.inputs


class Unfooled(Points):
    """Points that no step is seen to fool, so that every step is taken."""

    def fooled(self, logits: Tensor) -> Tensor:
        """No one, (N,) bool."""
        return torch.zeros_like(self.labels, dtype=torch.bool)


def ours_last_iterate(eps: float, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """PGD as the peers start and count it."""
    walk = FixedSteps(STEPS, STEP_SIZE, start=0, give_up=False)
    with frozen(network):
        points = Unfooled(x, y, torch.arange(len(y)), x)
        return walk(Victim(network, x.device), points, torch.full((len(y),), eps)).inputs


def ours_strong(eps: float, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return attacks.strong(network, x, y, eps=[eps])[0].inputs


def seconds(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    answer = work()
    return clock() - start, answer


def in_batches(
    attack: Attack, network: nn.Module, x: Tensor, y: Tensor, size: int, layout
) -> Tensor:
    """As a user would: one call a batch."""
    x = x.contiguous(memory_format=layout)
    parts = zip(x.split(size), y.split(size), strict=True)
    return torch.cat([attack(network, some, labels) for some, labels in parts])


def fastest(attack: Attack, network: nn.Module, x: Tensor, y: Tensor, sizes: list[int]) -> Attack:
    """The attack with the batch size and the layout that it is fastest with."""
    choices = []
    for layout in (torch.channels_last, torch.contiguous_format):
        laid = copy.deepcopy(network).to(memory_format=layout)
        for size in sizes:
            run = partial(in_batches, attack, laid, size=size, layout=layout)
            run(x[:size], y[:size])
            spent, _ = seconds(lambda run=run: run(x, y))
            choices.append((spent, size, layout, laid))
    _, size, layout, laid = min(choices, key=lambda choice: choice[0])
    console.print(f"  {attack.func.__name__}: batches of {size}, {str(layout)[6:]}")
    return lambda real, _, inputs, labels: in_batches(real, laid, inputs, labels, size, layout)


def accuracy(network: nn.Module, x: Tensor, y: Tensor, found: Tensor, eps: float) -> float:
    found = torch.clamp(found, x - eps, x + eps).clamp(0, 1)
    with torch.no_grad():
        answers = torch.cat([network(part).argmax(1) for part in found.split(200)])
    return (answers == y).double().mean().item()


def contest(
    title: str, network: nn.Module, x: Tensor, y: Tensor, radii: list[float],
    contestants: Contestants, repeats: int,
) -> None:  # fmt: skip
    """Seconds and accuracy of each contestant, turn by turn, and whether the answers agree."""
    table = Table(title=title)
    for column in ("eps", "attack", "seconds", "accuracy", "sgdscope is faster by", "accuracies"):
        table.add_column(column, justify="right")
    for eps in radii:
        spent: dict[str, float] = {}
        found: dict[str, float] = {}
        for _ in range(repeats):
            for name, prepare in contestants.items():
                taken, inputs = seconds(prepare(eps))
                spent[name] = min(taken, spent.get(name, taken))
                found[name] = accuracy(network, x, y, inputs, eps)
        ours = next(iter(contestants))
        for name in contestants:
            points = 100 * (found[ours] - found[name])
            verdict = "weaker" if points > 0.2 else "agrees" if points > -0.2 else "stronger"
            table.add_row(
                f"{eps:g}", name, f"{spent[name]:.2f}", f"{found[name]:.4f}",
                f"{spent[name] / spent[ours]:.2f}×" if name != ours else "",
                f"sgdscope {verdict}, {points:+.2f} points" if name != ours else "",
            )  # fmt: skip
        table.add_section()
    console.print(table)


def pgd(network: nn.Module, x: Tensor, y: Tensor, radii: list[float]) -> None:
    console.print("the peers' fastest settings, from 5 steps on 500 images:")
    rivals = {
        "torchattacks": (torchattacks_pgd, partial(torchattacks_pgd, 0.1, 5)),
        "foolbox": (foolbox_pgd, partial(foolbox_pgd, 0.1, 5)),
    }
    contestants: Contestants = {
        "sgdscope": lambda eps: lambda: ours_pgd(eps, network, x, y),
        "sgdscope, last iterate": lambda eps: lambda: ours_last_iterate(eps, network, x, y),
    }
    for name, (attack, pilot) in rivals.items():
        best = fastest(pilot, network, x[:500], y[:500], [50, 100, 200, 500])
        contestants[name] = lambda eps, best=best, attack=attack: (
            lambda: best(partial(attack, eps, STEPS), None, x, y)
        )
    title = f"PGD-{STEPS}, StdCNN on MNIST, first {len(y):,} test images, cross-entropy"
    contest(title, network, x, y, radii or [0.02, 0.05, 0.1, 0.2, 0.3], contestants, 2)


def strong(network: nn.Module, x: Tensor, y: Tensor, radii: list[float]) -> None:
    console.print("the peer's fastest setting, from 2 steps and 50 queries on 200 images:")
    pilot = partial(autoattack, 0.1, 2, 50)
    best = fastest(pilot, network, x[:200], y[:200], [50, 100, 200])
    contestants: Contestants = {
        "sgdscope strong": lambda eps: lambda: ours_strong(eps, network, x, y)
    }
    for name, steps in (("AutoAttack as shipped, 10 steps", 10), ("AutoAttack, 100 steps", 100)):
        contestants[name] = lambda eps, steps=steps: (
            lambda: best(partial(autoattack, eps, steps, 5000), None, x, y)
        )
    title = f"strong, StdCNN on MNIST, first {len(y):,} test images"
    contest(title, network, x, y, radii or [0.12, 0.15], contestants, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--strong", action="store_true", help="strong beside AutoAttack instead")
    parser.add_argument("--examples", type=int, help="1,000 by default; 200 with --strong")
    parser.add_argument("--eps", type=float, nargs="+", default=[])
    parser.add_argument("--epochs", type=int, default=6, help="that the network is trained")
    parser.add_argument("--networks", type=Path, help="folder to keep the network in")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # torchattacks imports torchvision, which has no CPU build for every torch.
    torch.library.Library("torchvision", "DEF").define("nms(Tensor a, Tensor b, float c) -> Tensor")
    network, data = Case("stdcnn", "mnist", 64, 0.01, 0.9, options.epochs).trained(options.networks)
    count = options.examples or (200 if options.strong else 1000)
    x, y = data.test[:count].inputs(), data.test.labels[:count]
    start = time.perf_counter()
    (strong if options.strong else pgd)(network, x, y, options.eps)
    console.print(
        f"{time.perf_counter() - start:.0f} s; {os.cpu_count()} cores, {options.threads} threads, "
        f"torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
