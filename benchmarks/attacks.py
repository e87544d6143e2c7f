"""Attacks side by side with torchattacks and foolbox, and what evidence says of four networks.

    python benchmarks/attacks.py            # speed, about 5 minutes on two cores
    python benchmarks/attacks.py --trust    # accuracy by attack and loss, with the evidence

Each contestant attacks the same trained StdCNN and the same first test images of MNIST. The peers
first try batch sizes and memory layouts on a few images and then use their fastest; sgdscope runs
with its defaults. Accuracies are recomputed here from the adversarial images that each returns,
after clipping to the ball and to [0, 1]. With ``--threads 1`` seconds are processor time, which
other work on the machine stretches least.

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

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sgdscope import attacks
from sgdscope.data import Dataset, load
from sgdscope.runs import Run
from sgdscope.training import Training

warnings.filterwarnings("ignore")
console = Console(width=120)
STEPS, STEP_SIZE = 40, 1 / 15
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]


def trained(data: Dataset, name: str, batch: int, rate: float, momentum: float, epochs: int):
    run = Run(
        model="stdcnn", data=name, schedule="fixed", schedule_options={"learning_rate": rate},
        batch_size=batch, momentum=momentum, epochs=epochs, seed=0,
    )  # fmt: skip
    training = Training(run, data)
    while not training.finished:
        training.advance()
    return training.model.eval()


def torchattacks_pgd(eps: float, steps: int, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import torchattacks

    return torchattacks.PGD(network, eps=eps, alpha=eps * STEP_SIZE, steps=steps)(x, y)


def autoattack(eps: float, queries: int, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import torchattacks

    attack = torchattacks.AutoAttack(network, eps=eps, seed=0)
    attack._autoattack.attacks[-1].n_queries = queries
    return attack(x, y)


def foolbox_pgd(eps: float, steps: int, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    import foolbox

    peer = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(rel_stepsize=STEP_SIZE, steps=steps)
    return attack(peer, x, y, epsilons=eps)[1]


def ours_pgd(eps: float, give_up: bool, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    (result,) = attacks.pgd(
        network, x, y, eps=[eps], steps=STEPS, step_size=STEP_SIZE, give_up=give_up
    )
    return result.inputs


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
    contestants: dict[str, Callable[[float], Callable[[], Tensor]]], repeats: int,
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
            verdict = "weaker" if points > 0.2 else "agrees" if points > -0.2 else "lower"
            table.add_row(
                f"{eps:g}", name, f"{spent[name]:.2f}", f"{found[name]:.4f}",
                f"{spent[name] / spent[ours]:.1f}×" if name != ours else "",
                f"sgdscope {verdict}, {points:+.2f} points" if name != ours else "",
            )  # fmt: skip
        table.add_section()
    console.print(table)


def speed(data: Dataset, count: int, strong_count: int, epochs: int) -> None:
    network = trained(data, "mnist", 64, 0.01, 0.9, epochs)
    x, y = data.test[:count].inputs(), data.test.labels[:count]
    console.print("the peers' fastest settings, from 5 steps on 500 images:")
    few = x[:500], y[:500]
    sizes = [50, 100, 200, 500]
    rivals = {
        "torchattacks": (torchattacks_pgd, partial(torchattacks_pgd, 0.1, 5)),
        "foolbox": (foolbox_pgd, partial(foolbox_pgd, 0.1, 5)),
    }
    contestants = {
        "sgdscope": lambda eps: lambda: ours_pgd(eps, True, network, x, y),
        "sgdscope, never giving up": lambda eps: lambda: ours_pgd(eps, False, network, x, y),
    }
    for name, (attack, pilot) in rivals.items():
        best = fastest(pilot, network, *few, sizes)
        contestants[name] = lambda eps, best=best, attack=attack: (
            lambda: best(partial(attack, eps, STEPS), None, x, y)
        )
    title = f"PGD-{STEPS}, StdCNN on MNIST, first {count:,} test images, cross-entropy"
    contest(title, network, x, y, [0.02, 0.05, 0.1, 0.2, 0.3], contestants, 2)

    x, y = x[:strong_count], y[:strong_count]
    pilot = fastest(partial(autoattack, 0.1, 100), network, x[:100], y[:100], [50, 100])
    contestants = {
        "sgdscope strong": lambda eps: lambda: ours_strong(eps, network, x, y),
        "torchattacks AutoAttack": lambda eps: (
            lambda: pilot(partial(autoattack, eps, 5000), None, x, y)
        ),
    }
    title = f"strong, the same network, first {strong_count:,} test images"
    contest(title, network, x, y, [0.1, 0.2], contestants, 1)


def trust(count: int, strong_count: int, epochs: int) -> None:
    """What each attack says of four networks, and the evidence beside it."""
    table = Table(title=f"accuracy under attack, first {count:,} test images, {epochs} epochs")
    columns = (
        "network", "eps", "FGSM CE", "FGSM margin", "PGD CE", "PGD margin", "APGD CE",
        f"strong ({strong_count})", "saturated", "no grad", "noise", "flags",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="right")
    cases = [
        ("mnist", 64, 0.01, 0.9, (0.1, 0.3)), ("mnist", 64, 0.01, 0.0, (0.1, 0.3)),
        ("fashion_mnist", 64, 0.01, 0.9, (0.05, 0.3)), ("mnist", 1024, 0.16, 0.9, (0.1, 0.3)),
    ]  # fmt: skip
    told: list[str] = []
    for name, batch, rate, momentum, radii in cases:
        data = load(name)
        network = trained(data, name, batch, rate, momentum, epochs)
        x, y = data.test[:count].inputs(), data.test.labels[:count]
        eps = list(radii)
        runs = {
            "FGSM CE": attacks.fgsm(network, x, y, eps=eps),
            "FGSM margin": attacks.fgsm(network, x, y, eps=eps, loss="margin"),
            "PGD CE": attacks.pgd(network, x, y, eps=eps),
            "PGD margin": attacks.pgd(network, x, y, eps=eps, loss="margin"),
            "APGD CE": attacks.apgd(network, x, y, eps=eps),
            "strong": attacks.strong(network, x[:strong_count], y[:strong_count], eps=eps),
        }
        evidence = attacks.gather(network, x, y, runs["FGSM CE"], loss="cross_entropy")
        label = f"{name} B={batch} lr={rate} m={momentum}"
        for i, seen in enumerate(evidence):
            numbers = [results[i].accuracy for results in runs.values()]
            table.add_row(
                label if i == 0 else "", f"{eps[i]:g}", *(f"{a:.3f}" for a in numbers),
                f"{seen.saturated / seen.right:.2f}", str(seen.zero_gradient),
                f"{seen.noise_fooled:.3f}", str(len(seen.flags())),
            )  # fmt: skip
            told += [f"{label}, eps {eps[i]:g}, FGSM CE: {flag}" for flag in seen.flags()]
        table.add_section()
    console.print(table)
    for flag in told:
        console.print(f"- {flag}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trust", action="store_true", help="the evidence table instead")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--strong-examples", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=6, help="that each network is trained")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # torchattacks imports torchvision, which has no CPU build for every torch.
    torch.library.Library("torchvision", "DEF").define("nms(Tensor a, Tensor b, float c) -> Tensor")
    start = time.perf_counter()
    if options.trust:
        trust(options.examples, options.strong_examples, options.epochs)
    else:
        speed(load("mnist"), options.examples, options.strong_examples, options.epochs)
    console.print(
        f"{time.perf_counter() - start:.0f} s in all; {os.cpu_count()} cores, "
        f"{options.threads} threads, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
