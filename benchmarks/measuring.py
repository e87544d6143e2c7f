"""What measuring takes: K networks one by one, and the same networks stacked into one.

    python benchmarks/measuring.py [--device cuda] [--models stdcnn m1 c1] [--count 8]

Three pieces of work that measures are made of: logits; the gradient of the loss in the pixels (a
step of an attack); a product with its Hessian in the parameters, the graph of the gradient kept (a
step of Lanczos). In float64 each way must give the same; in float32 it is timed. Networks and
images are random: no data set is needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from device import AGREEMENT, SHAPES, median_seconds
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope import models
from sgdscope.curvature import Hessian
from sgdscope.training.layouts import LAYOUTS
from sgdscope.training.stacking import Stack, stack

Work = dict[str, Callable[[], Tensor]]  # each piece gives (networks, …)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES)[:3])
    parser.add_argument("--count", type=int, default=8, help="networks")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.deterministic = True  # as in a study
    print(f"{options.count} networks, {options.images} images: milliseconds for all together")
    for name in options.models:
        compare(name, options.count, options.images, torch.device(options.device))


def compare(name: str, count: int, size: int, device: torch.device) -> None:
    """Print a line for each piece of work."""
    check(*works(name, count, 8, device, torch.float64))
    alone, together = works(name, count, size, device, torch.float32)
    for piece, work in alone.items():
        ways = {"one by one": work} | {way: pieces[piece] for way, pieces in together.items()}
        times = [f"{way} {1e3 * median_seconds(w, device):8.1f}" for way, w in ways.items()]
        print(f"{name:9} {piece:9} {'   '.join(times)}", flush=True)


def check(alone: Work, together: dict[str, Work]) -> None:
    for piece, work in alone.items():
        expected = work()
        for way, pieces in together.items():
            error = ((pieces[piece]() - expected).norm() / expected.norm()).item()
            assert error < AGREEMENT, (piece, way, error)


def works(
    name: str, count: int, size: int, device: torch.device, dtype: torch.dtype
) -> tuple[Work, dict[str, Work]]:
    """The pieces of work on the same networks and images, one by one and by each way to stack."""
    shape = SHAPES[name]
    networks = [
        models.build(name, shape=shape, classes=10, seed=seed)
        .to(device, dtype, memory_format=torch.channels_last)
        .eval()
        for seed in range(count)
    ]
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(size, *shape, generator=generator).to(device, dtype)
    labels = torch.randint(0, 10, (size,), generator=generator).to(device)
    vectors = [
        torch.randn(p.shape, generator=generator).to(device, dtype)
        for p in networks[0].parameters()
    ]
    together = {v: stacked(stack(networks, variant=v), images, labels, vectors) for v in LAYOUTS}
    return one_by_one(networks, images, labels, vectors), together


def one_by_one(
    networks: list[nn.Module], images: Tensor, labels: Tensor, vectors: list[Tensor]
) -> Work:
    """One network after another."""
    leaf = images.clone().requires_grad_()
    hessians = [Hessian(network, images, labels) for network in networks]
    vector = torch.cat([v.flatten() for v in vectors])[:, None]

    def logits() -> Tensor:
        with torch.no_grad():
            return torch.stack([network(images) for network in networks])

    def gradient() -> Tensor:
        losses = (F.cross_entropy(network(leaf), labels) for network in networks)
        return torch.stack([torch.autograd.grad(loss, leaf)[0] for loss in losses])

    def product() -> Tensor:
        return torch.stack([(hessian @ vector)[:, 0] for hessian in hessians])

    return {"logits": logits, "gradient": gradient, "product": product}


def stacked(whole: Stack, images: Tensor, labels: Tensor, vectors: list[Tensor]) -> Work:
    """All networks as one."""
    count = whole.layout.count
    leaf = images.expand(count, *images.shape).clone().requires_grad_()
    parameters = list(whole.parameters())
    slopes = torch.autograd.grad(total(whole(leaf), labels), parameters, create_graph=True)
    directions = [v.expand(count, *v.shape) for v in vectors]

    def logits() -> Tensor:
        with torch.no_grad():
            return whole(leaf)

    def gradient() -> Tensor:
        return torch.autograd.grad(total(whole(leaf), labels), leaf)[0]

    def product() -> Tensor:
        parts = torch.autograd.grad(slopes, parameters, directions, retain_graph=True)
        return torch.cat([part.flatten(1) for part in parts], 1)

    return {"logits": logits, "gradient": gradient, "product": product}


def total(scores: Tensor, labels: Tensor) -> Tensor:
    """The networks' mean losses, added up: no network's has a slope in another's weights."""
    each = F.cross_entropy(scores.flatten(0, 1), labels.repeat(len(scores)), reduction="sum")
    return each / len(labels)


if __name__ == "__main__":
    main()
