"""Products with curvature matrices against dense ones in float64."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.curvature import Hessian, top_eigenvalues
from sgdscope.errors import RequestError


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(3),
        nn.Conv2d(3, 4, 2), nn.Tanh(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 5),
    ).double().eval()  # fmt: skip


def examples(count: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(count, 1, 8, 8, generator=generator, dtype=torch.float64)
    return inputs, torch.arange(count) % 5


def dense_hessian(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    named = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    sizes = [p.numel() for p in named.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = torch.split(flat, sizes)
        shaped = {n: f.view_as(p) for (n, p), f in zip(named.items(), parts, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, shaped, inputs), labels)

    flat = torch.cat([p.reshape(-1) for p in named.values()])
    return torch.autograd.functional.hessian(loss, flat)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("memory", [0, 2**30])
@pytest.mark.parametrize("chunk", [1, 4, 11, 100])
def test_hessian_is_the_dense_one(chunk: int, memory: int, layout: torch.memory_format) -> None:
    model, (inputs, labels) = network(), examples()
    expected = dense_hessian(model, inputs, labels)
    hessian = Hessian(
        model, inputs.contiguous(memory_format=layout), labels, chunk=chunk, memory=memory
    )
    identity = torch.eye(hessian.size, dtype=torch.float64)[:, ::7]
    torch.testing.assert_close(hessian @ identity, expected[:, ::7], atol=1e-12, rtol=1e-10)
    assert hessian.products == identity.shape[1]


def test_frozen_parameters_are_left_out() -> None:
    model, (inputs, labels) = network(), examples()
    model[0].requires_grad_(False)
    expected = dense_hessian(model, inputs, labels)
    hessian = Hessian(model, inputs, labels)
    assert hessian.size == len(expected)
    top = top_eigenvalues(hessian, tolerance=1e-8)
    torch.testing.assert_close(top.values[0], torch.linalg.eigvalsh(expected)[-1])


def test_network_is_left_as_it_was() -> None:
    model, (inputs, labels) = network(), examples()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    top_eigenvalues(Hessian(model, inputs, labels))
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_bad_requests() -> None:
    model, (inputs, labels) = network(), examples()
    with pytest.raises(RequestError, match="0 inputs and 0 labels"):
        Hessian(model, inputs[:0], labels[:0])
    with pytest.raises(RequestError, match="11 inputs and 3 labels"):
        Hessian(model, inputs, labels[:3])
    model[7].train()
    with pytest.raises(RequestError, match=r"training mode \(7: Dropout\).*model.eval\(\)"):
        Hessian(model, inputs, labels)
    model.eval()[8].weight.data.fill_(torch.nan)
    with pytest.raises(RequestError, match="the loss is nan"):
        top_eigenvalues(Hessian(model, inputs, labels))
    with pytest.raises(RequestError, match="no parameter of the network requires a gradient"):
        Hessian(model.requires_grad_(False), inputs, labels)
