"""Training speed beside the plain script, torch.func's ensembling, and the machine's limit.

    python benchmarks/training.py [--model stdcnn] [--data mnist] [--batch-size 64] [--device cpu]

All contestants train the same networks on the same images for the same epochs, one after another
in one run; their validation accuracies stand beside their speeds. Needs sgdscope and nothing else.
"""

import argparse
import os
import time

import plain
import torch
from rich.console import Console
from rich.table import Table
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sgdscope import data, models
from sgdscope.execution.engine import Job
from sgdscope.execution.local import LocalEngine, default_workers
from sgdscope.execution.messages import Outcome, Task
from sgdscope.study.run import Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="stdcnn")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train-size", type=int, default=10_000)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    runs = [
        Run(
            model=options.model, data=options.data, train_size=options.train_size,
            schedule="fixed", schedule_options={"learning_rate": 0.05},
            batch_size=options.batch_size, momentum=0.5, epochs=options.epochs, seed=seed,
        )
        for seed in range(options.runs)
    ]  # fmt: skip
    dataset = data.load(options.data).subset(options.train_size)
    device = torch.device(options.device)
    images = options.epochs * options.batch_size * (options.train_size // options.batch_size)
    rows = [
        ("plain script", *by_plain(runs, dataset, images, options.device)),
        ("torch.func ensemble", by_vmap(runs, dataset.to(device)), float("nan")),
        *by_sgdscope(runs, images, options.device),
        ("arithmetic limit", limit(runs[0], dataset, device), float("nan")),
    ]
    show(rows, runs)


def by_plain(runs, dataset, images, device) -> tuple[float, float]:
    start = time.perf_counter()
    trained = [plain.train(run, dataset, device) for run in runs]
    seconds = time.perf_counter() - start
    inputs, labels = dataset.validation.pixels / 255, dataset.validation.labels
    accuracies = [plain.accuracy(model, inputs, labels) for model in trained]
    return len(runs) * images / seconds, sum(accuracies) / len(runs)


def by_vmap(runs, dataset, steps: int = 20) -> float:
    """Images a second of all runs as one vmapped computation; a few steps tell."""
    networks = [
        models.build(r.model, shape=dataset.shape, classes=10, seed=r.seed, mean=dataset.mean,
                     std=dataset.std).to(dataset.train.pixels.device)
        for r in runs
    ]  # fmt: skip
    parameters, buffers = stack_module_state(networks)
    velocity = {name: torch.zeros_like(p) for name, p in parameters.items()}

    def loss(parameters, buffers, inputs, labels):
        return F.cross_entropy(functional_call(networks[0], (parameters, buffers), inputs), labels)

    gradients = vmap(grad(loss), randomness="different")
    batch, images = runs[0].batch_size, dataset.train.pixels
    elapsed = []
    for _ in range(steps):
        start = time.perf_counter()
        index = torch.randint(len(dataset.train), (len(runs), batch), device=images.device)
        inputs, labels = images[index] / 255, dataset.train.labels[index]
        for name, g in gradients(parameters, buffers, inputs, labels).items():
            velocity[name].mul_(0.5).add_(g)
            parameters[name].detach().sub_(0.05 * velocity[name])
        wait(images.device)
        elapsed.append(time.perf_counter() - start)
    return len(runs) * batch / sorted(elapsed)[steps // 2]


def by_sgdscope(runs, images, device) -> list[tuple[str, float, float]]:
    """With and without the start of the worker processes."""
    start = time.perf_counter()
    first, outcomes = None, []
    for message in LocalEngine().execute(Job((), device, 1e9), [Task(run) for run in runs]):
        if first is None:
            first = time.perf_counter()
        if isinstance(message, Outcome):
            outcomes.append(message.result)
    end = time.perf_counter()
    accuracy = sum(r.history[-1].validation_accuracy for r in outcomes) / len(runs)
    busy = sum(epoch.seconds for result in outcomes for epoch in result.history)
    workers = min(len(runs), default_workers(device))
    return [
        ("sgdscope", len(runs) * images * workers / busy, accuracy),
        ("sgdscope, start included", len(runs) * images / (end - start), accuracy),
    ]


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def limit(run, dataset, device) -> float:
    """Images a second if every core, or the GPU, only multiplied matrices in float32."""
    model = models.build(run.model, shape=dataset.shape, classes=10, seed=0)
    inputs, labels = dataset.train[:8].inputs(), dataset.train.labels[:8]
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(inputs), labels).backward()
    a = torch.randn(2048, 2048, device=device)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        wait(device)
        times.append(time.perf_counter() - start)
    return 8 * (2 * 2048**3 / min(times)) / counter.get_total_flops()


def show(rows, runs) -> None:
    base = rows[0][1]
    run = runs[0]
    title = f"{len(runs)} × {run.model}, {run.data}, batch size {run.batch_size}, float32"
    table = Table("contestant", "images/s", "ratio", "validation accuracy", title=title)
    for name, rate, accuracy in rows:
        shown = "" if accuracy != accuracy else f"{accuracy:.3f}"
        table.add_row(name, f"{rate:,.0f}", f"{rate / base:.2f}×", shown)
    Console().print(table)
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
