"""The script that a researcher writes without sgdscope, kept short and honest.

One process with all cores or a GPU, torch's defaults, a DataLoader, one run after another; FGSM and
PGD by torchattacks, the top Hessian eigenvalue by PyHessian. The network, its normalisation and the
settings are the same as sgdscope's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from sgdscope import models
from sgdscope.data import Dataset
from sgdscope.study.run import Run


def train(run: Run, data: Dataset, device: str) -> nn.Module:
    torch.manual_seed(run.seed)
    model = models.build(
        run.model, shape=data.shape, classes=data.classes, seed=run.seed,
        mean=data.mean, std=data.std,
    ).to(device)  # fmt: skip
    images = TensorDataset(data.train.pixels / 255, data.train.labels)
    loader = DataLoader(images, run.batch_size, shuffle=True, drop_last=True)
    sgd = torch.optim.SGD(model.parameters(), lr=run.rate(1), momentum=run.momentum)
    for epoch in range(1, run.epochs + 1):
        for group in sgd.param_groups:
            group["lr"] = run.rate(epoch)
        model.train()
        for inputs, labels in loader:
            sgd.zero_grad()
            F.cross_entropy(model(inputs.to(device)), labels.to(device)).backward()
            sgd.step()
        model.eval()
        accuracy(model, data.validation.pixels / 255, data.validation.labels)
    return model


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    device = next(model.parameters()).device
    hits = [
        (model(x.to(device)).argmax(1) == y.to(device)).sum().item()
        for x, y in DataLoader(TensorDataset(inputs, labels), 500)
    ]
    return sum(hits) / len(labels)


def measure(
    model: nn.Module, data: Dataset, *, eps: list[float], steps: int, examples: int
) -> dict[str, float]:
    torchattacks, hessian = peers()
    inputs, labels = data.test.pixels / 255, data.test.labels
    readings = {"test_accuracy": accuracy(model, inputs, labels)}
    loader = DataLoader(TensorDataset(inputs, labels), 500)
    device = next(model.parameters()).device
    for radius in eps:
        attacks = {
            "fgsm_accuracy": torchattacks.FGSM(model, eps=radius),
            "pgd_accuracy": torchattacks.PGD(model, radius, alpha=radius / 15, steps=steps),
        }
        for name, attack in attacks.items():
            adversarial = torch.cat([attack(x.to(device), y.to(device)).cpu() for x, y in loader])
            readings[f"{name} {radius:g}"] = accuracy(model, adversarial, labels)
    train = data.train[:examples]
    computer = hessian(
        model, nn.CrossEntropyLoss(), (train.pixels / 255, train.labels),
        cuda=device.type == "cuda",
    )  # fmt: skip
    readings["top_eigenvalue"] = computer.eigenvalues(maxIter=100, tol=1e-3)[0][0]
    return readings


def peers():
    """torchattacks, whose import needs an operator that torchvision defines, and PyHessian."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        import torchattacks
    except (ImportError, RuntimeError):
        library.define("nms(Tensor a, Tensor b, float c) -> Tensor")
        import torchattacks
    from pyhessian import hessian

    return torchattacks, hessian
