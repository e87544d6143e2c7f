"""Products with curvature matrices against dense ones in float64."""

import gc
from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sgdscope.curvature import (
    GaussNewton,
    Hessian,
    InputHessian,
    bottom_eigenvalues,
    input_gradient_norm,
    sam_sharpness,
    top_eigenvalues,
)
from sgdscope.curvature.operators import Loss
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


@pytest.mark.parametrize("matrix", [Hessian, GaussNewton])
@pytest.mark.parametrize("hook", [lambda g: 0.5 * g, lambda g: g.clamp(-1e-3, 1e-3)])
def test_hooks_on_gradients_are_for_training_and_change_no_matrix(matrix: type, hook) -> None:
    plain, hooked, (inputs, labels) = network(), network(), examples()
    logged: list[Tensor] = []
    for parameter in hooked.parameters():
        parameter.register_hook(logged.append)
        parameter.register_hook(hook)
    some = torch.eye(sum(p.numel() for p in plain.parameters()), dtype=torch.float64)[:, ::7]
    expected = matrix(plain, inputs, labels) @ some
    for memory in (0, 2**30):
        found = matrix(hooked, inputs, labels, memory=memory)
        torch.testing.assert_close(found @ some, expected)
    torch.testing.assert_close(
        Hessian(hooked, inputs, labels).gradient(), Hessian(plain, inputs, labels).gradient()
    )
    assert not logged
    for model in (plain, hooked):
        F.cross_entropy(model(inputs), labels).backward()
    assert torch.equal(hooked[8].bias.grad, hook(plain[8].bias.grad))
    assert len(logged) == len(list(hooked.parameters()))


def test_bad_requests() -> None:
    model, (inputs, labels) = network(), examples()
    with pytest.raises(RequestError, match="0 inputs and 0 labels"):
        Hessian(model, inputs[:0], labels[:0])
    with pytest.raises(RequestError, match="11 inputs and 3 labels"):
        Hessian(model, inputs, labels[:3])
    each = partial(F.cross_entropy, reduction="none")
    with pytest.raises(RequestError, match=r"the loss has shape \(11,\); expected one number"):
        Hessian(model, inputs, labels, loss=each)
    model[7].train()
    with pytest.raises(RequestError, match=r"training mode \(7: Dropout\).*model.eval\(\)"):
        Hessian(model, inputs, labels)
    model.eval()[8].weight.data.fill_(torch.nan)
    with pytest.raises(RequestError, match="the loss is nan"):
        Hessian(model, inputs, labels)
    with pytest.raises(RequestError, match="no parameter of the network requires a gradient"):
        Hessian(model.requires_grad_(False), inputs, labels)


def test_complex_parameters_are_refused() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.turn = nn.Parameter(torch.ones(4, 3, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Tensor:
            return (x.to(torch.complex64) @ self.turn).real

    given = Turned().eval(), torch.randn(6, 4), torch.randint(0, 3, (6,))
    for measured in (Hessian, sam_sharpness):
        with pytest.raises(RequestError, match=r"a parameter is .*complex64; expected real"):
            measured(*given)


def jacobian(model: nn.Module, inputs: Tensor) -> Tensor:
    """(N, outputs, parameters)."""
    parameters = list(model.parameters())

    def flat(output: Tensor) -> Tensor:
        gradient = torch.autograd.grad(output, parameters, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in gradient])

    return torch.stack([torch.stack([flat(one) for one in row]) for row in model(inputs)])


@pytest.mark.parametrize("chunk", [4, 100])
def test_gauss_newton_is_the_dense_one(chunk: int) -> None:
    model, (inputs, labels) = network(), examples()
    p = model(inputs).softmax(1).detach()
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    j = jacobian(model, inputs)
    expected = torch.einsum("nai,nab,nbj->ij", j, inner, j) / len(inputs)
    matrix = GaussNewton(model, inputs, labels, chunk=chunk)
    identity = torch.eye(matrix.size, dtype=torch.float64)[:, ::7]
    torch.testing.assert_close(matrix @ identity, expected[:, ::7], atol=1e-12, rtol=1e-10)


def test_input_hessian_is_the_dense_one() -> None:
    model, (inputs, labels) = network(), examples()
    matrices = InputHessian(model, inputs, labels, chunk=4)
    assert (matrices.batch, matrices.size) == ((11,), 64)
    identity = torch.eye(64, dtype=torch.float64).expand(11, 64, 64)
    found = matrices @ identity
    for i in (0, 5, 10):
        expected = torch.autograd.functional.hessian(
            lambda x, i=i: F.cross_entropy(model(x.view(1, 1, 8, 8)), labels[i : i + 1]),
            inputs[i].reshape(-1),
        )
        torch.testing.assert_close(found[i], expected, atol=1e-12, rtol=1e-10)
    top = top_eigenvalues(matrices, tolerance=1e-8)
    torch.testing.assert_close(top.values[:, 0], torch.linalg.eigvalsh(found)[:, -1])


def test_linear_regression_has_its_closed_form() -> None:
    torch.manual_seed(1)
    inputs, labels = torch.randn(30, 6, dtype=torch.float64), torch.randn(30, 1).double()
    model = nn.Linear(6, 1, bias=False).double().eval()
    expected = 2 * inputs.T @ inputs / 30
    for matrix in (Hessian, GaussNewton):
        operator = matrix(model, inputs, labels, loss=F.mse_loss, chunk=7)
        torch.testing.assert_close(operator @ torch.eye(6, dtype=torch.float64), expected)


def test_logistic_regression_has_its_closed_form() -> None:
    torch.manual_seed(1)
    inputs, labels = torch.randn(30, 6, dtype=torch.float64), torch.randint(2, (30,)).double()
    model = nn.Sequential(nn.Linear(6, 1, bias=False), nn.Flatten(0)).double().eval()
    p = model(inputs).sigmoid().detach()
    expected = (inputs.T * (p * (1 - p))) @ inputs / 30
    loss = F.binary_cross_entropy_with_logits
    operator = Hessian(model, inputs, labels, loss=loss, chunk=7)
    torch.testing.assert_close(operator @ torch.eye(6, dtype=torch.float64), expected)


@pytest.mark.parametrize("matrix", [Hessian, GaussNewton])
def test_a_loss_without_curvature(matrix: type[Hessian | GaussNewton]) -> None:
    model = nn.Linear(3, 2).double().eval()
    inputs = torch.ones(4, 3, dtype=torch.float64)
    operator = matrix(model, inputs, inputs, loss=lambda outputs, _: outputs.mean())
    top = top_eigenvalues(operator, k=2)
    assert top.converged
    assert top.values.tolist() == [0, 0]


@pytest.mark.parametrize("geometry", [{"stride": 2, "padding": 1}, {"groups": 2}, {"dilation": 2}])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_of_every_kind(geometry: dict[str, int], bias: bool) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=bias, **geometry), nn.Sigmoid(),
        nn.Conv2d(4, 3, 3, padding="same"), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double().eval()  # fmt: skip
    inputs = torch.rand(5, 2, 8, 8, dtype=torch.float64)
    labels = torch.arange(5) % 3
    expected = dense_hessian(model, inputs, labels)
    hessian = Hessian(model, inputs, labels)
    identity = torch.eye(hessian.size, dtype=torch.float64)
    torch.testing.assert_close(hessian @ identity, expected, atol=1e-12, rtol=1e-10)


def test_a_part_is_of_fewer_examples_and_none_of_a_few() -> None:
    model, (inputs, labels) = network(), examples(600)
    hessian = Hessian(model, inputs, labels)
    part = hessian.part()
    assert part is not None
    assert part.examples == 60
    assert Hessian(model, inputs[:13], labels[:13]).part() is None


def test_ends_of_a_hessian_are_those_of_the_dense_one() -> None:
    model, (inputs, labels) = network(), examples(60)
    hessian = Hessian(model, inputs, labels)
    expected = torch.linalg.eigvalsh(dense_hessian(model, inputs, labels))
    top = top_eigenvalues(hessian, k=2, tolerance=1e-8)
    bottom = bottom_eigenvalues(hessian, tolerance=1e-8)
    torch.testing.assert_close(top.values, expected.flip(0)[:2])
    torch.testing.assert_close(bottom.values, expected[:1])


def test_a_part_leaves_out_what_the_network_is_sure_of() -> None:
    model = nn.Linear(1, 2, bias=False).eval()
    model.weight.data = torch.tensor([[1.0], [-1.0]])
    inputs = torch.linspace(0.1, 9.0, 400)[:, None]  # sure where it is large
    part = Hessian(model, inputs, torch.zeros(400, dtype=torch.long)).part()
    assert part is not None
    assert part.examples == 90
    assert torch.equal(part.inputs.sort(0).values, inputs[: part.examples])


def test_nothing_of_a_matrix_outlives_it() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()

    def tensors() -> int:
        while gc.collect():  # what other tests left too
            pass
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())

    inputs, labels = torch.rand(20, 1, 6, 6), torch.arange(20) % 3
    before = tensors()
    hessian = Hessian(model, inputs, labels)
    hessian @ torch.randn(hessian.size, 1)
    del hessian
    assert tensors() == before


@pytest.mark.parametrize("kind", [Hessian, GaussNewton])
@pytest.mark.parametrize("scale", [20, 60])
def test_float32_keeps_the_curvature_of_a_confident_network(kind: type, scale: float) -> None:
    """Of probabilities of 1 − 1e-7, and nearer to 1, float32 alone keeps a digit or none."""
    exact, (inputs, labels) = confident(scale)
    right = torch.linalg.eigvalsh(dense_hessian(exact, inputs, labels))[-1].item()
    found = top_eigenvalues(kind(deepcopy(exact).float(), inputs.float(), labels))
    assert found.converged
    assert found.values.item() == pytest.approx(right, rel=1e-3)


def test_a_loss_that_float32_cannot_carry_is_not_believed() -> None:
    exact, (inputs, labels) = confident(60)
    coarse = Hessian(
        deepcopy(exact).float(), inputs.float(), labels,
        loss=lambda outputs, labels: F.cross_entropy(outputs.float(), labels),
    )  # fmt: skip
    assert not top_eigenvalues(coarse).converged
    assert not bottom_eigenvalues(coarse).converged


def confident(scale: float) -> tuple[nn.Sequential, tuple[Tensor, Tensor]]:
    """A linear classifier that is right by far about all of its examples."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4)).double().eval()
    inputs = torch.randn(40, 6, dtype=torch.float64)
    with torch.no_grad():
        outputs = model(inputs)
        top = outputs.topk(2).values
        clear = (top[:, 0] - top[:, 1]) > 0.3
        for parameter in model.parameters():
            parameter *= scale
    return model, (inputs[clear], outputs.argmax(1)[clear])


def test_a_part_of_examples_sorted_by_class_has_all_classes() -> None:
    model = nn.Linear(4, 5).double().eval()
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    labels = torch.arange(5).repeat_interleave(60)
    part = Hessian(model, torch.randn(300, 4, dtype=torch.float64), labels).part()
    assert part is not None
    assert len(part.labels.unique()) == 5


class Weighted(nn.Module):
    """A loss of one's own, with class weights among its buffers."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels, weight=self.weight)


WEIGHT = torch.tensor([0.5, 1, 3, 2])
LOSSES = {
    "of torch": nn.CrossEntropyLoss(weight=WEIGHT),
    "partial": partial(F.cross_entropy, weight=WEIGHT),
    "of one's own": Weighted(WEIGHT),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("kind", [Hessian, InputHessian])
def test_class_weights_in_float32_take_no_digits(kind: type, loss: Loss) -> None:
    exact, (inputs, labels) = confident(20)
    weighted = nn.CrossEntropyLoss(weight=WEIGHT.double())
    right = top_eigenvalues(kind(exact, inputs, labels, loss=weighted))
    coarse = deepcopy(exact).float(), inputs.float(), labels
    found = top_eigenvalues(kind(*coarse, loss=loss))
    assert found.converged
    assert found.flags == ()
    torch.testing.assert_close(found.values, right.values, rtol=3e-3, atol=0)
    for reading in (input_gradient_norm, sam_sharpness):
        expected = reading(exact, inputs, labels, loss=weighted)
        assert reading(*coarse, loss=loss).value == pytest.approx(expected.value, rel=1e-3)


@pytest.mark.parametrize("count", [1, 11])
def test_a_loss_that_can_only_be_had_in_float32_is_flagged(count: int) -> None:
    model, (inputs, labels) = network().float(), examples(count)

    def loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels, weight=torch.ones(5))

    for kind in (Hessian, GaussNewton, InputHessian):
        found = top_eigenvalues(kind(model, inputs.float(), labels, loss=loss))
        assert not found.converged
        assert "computed in torch.float32" in found.flags[0]
        plain = top_eigenvalues(kind(model, inputs.float(), labels))
        torch.testing.assert_close(found.values, plain.values, rtol=1e-2, atol=1e-5)
    for reading in (input_gradient_norm, sam_sharpness):
        assert "float64" in reading(model, inputs.float(), labels, loss=loss).flags[0]


@pytest.mark.parametrize("loss", [F.huber_loss, F.mse_loss, F.binary_cross_entropy_with_logits])
def test_targets_in_float32_are_those_in_float64(loss: Loss) -> None:
    torch.manual_seed(1)
    inputs, targets = torch.randn(30, 6), torch.rand(30, 1)
    model = nn.Linear(6, 1).eval()
    found = top_eigenvalues(Hessian(model, inputs, targets, loss=loss))
    exact = Hessian(deepcopy(model).double(), inputs.double(), targets.double(), loss=loss)
    torch.testing.assert_close(found.values, top_eigenvalues(exact).values, rtol=1e-5, atol=0)
    assert found.converged
