"""Curvature of any loss, on any outputs and layers, against dense float64 Hessians."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from sgdscope.curvature import (
    GaussNewton,
    Hessian,
    InputHessian,
    asam_sharpness,
    batch_sharpness,
    bottom_eigenvalues,
    input_gradient_norm,
    keskar_sharpness,
    landscape,
    losses,
    sam_sharpness,
    spectral_density,
    top_eigenvalues,
    trace,
)
from sgdscope.errors import RequestError

COUNT = 17
Loss = Callable[[Any, Tensor], Tensor]


def examples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(COUNT, 6, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(0, 3, (COUNT,), generator=generator)


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)
    return nn.Sequential(*layers).double().eval()


def outputs_at(model: nn.Module, inputs: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The outputs as a function of all weights in one vector, and the weights."""
    named = [(name, p.detach()) for name, p in model.named_parameters() if p.requires_grad]

    def outputs(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [p.numel() for _, p in named])
        weights = {n: part.view_as(p) for (n, p), part in zip(named, parts, strict=True)}
        return functional_call(model, weights, inputs)

    return outputs, torch.cat([p.flatten() for _, p in named])


def dense(model: nn.Module, inputs: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    outputs, weights = outputs_at(model, inputs)
    return torch.autograd.functional.hessian(
        lambda vector: loss(outputs(vector), labels).sum(), weights
    )


def dense_gauss_newton(model: nn.Module, inputs: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    outputs, weights = outputs_at(model, inputs)
    scores = outputs(weights)
    slopes = torch.autograd.functional.jacobian(outputs, weights).reshape(-1, len(weights))
    bent = torch.autograd.functional.hessian(
        lambda z: loss(z.view_as(scores), labels).sum(), scores.flatten()
    )
    return slopes.T @ bent @ slopes


def every(matrix: Hessian | GaussNewton) -> Tensor:
    """All its entries."""
    return matrix @ torch.eye(matrix.size, dtype=matrix.dtype)


def contrastive(scores: Tensor, labels: Tensor) -> Tensor:
    """Pulls examples of one class together, so that none stands alone."""
    alike = F.normalize(scores, dim=1) @ F.normalize(scores, dim=1).T
    pairs = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool)
    return -(alike.log_softmax(1) * pairs).sum() / pairs.sum().clamp(min=1)


def of_each(scores: Tensor, labels: Tensor) -> Tensor:
    """Weights of the examples themselves, which fit no other number of them."""
    weights = torch.linspace(0.5, 2, COUNT, dtype=scores.dtype)
    return (weights * F.cross_entropy(scores, labels, reduction="none")).sum() / weights.sum()


WEIGHTS = torch.tensor([1, 5, 0.2], dtype=torch.float64)
LOSSES: dict[str, Loss] = {
    "mean": F.cross_entropy,
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.1),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "class weights": nn.CrossEntropyLoss(weight=WEIGHTS),
    "example weights": of_each,
    "penalty of the batch": lambda z, t: F.cross_entropy(z, t) + z.mean(0).square().sum(),
    "contrastive": contrastive,
    "worst": lambda z, t: F.cross_entropy(z, t, reduction="none").max(),
    "one element": lambda z, t: F.cross_entropy(z, t)[None],
}


@pytest.mark.parametrize("name", LOSSES)
def test_the_matrix_is_the_dense_one_whatever_the_loss_and_the_chunks(name):
    loss, model, (inputs, labels) = LOSSES[name], network(), examples()
    hessian = dense(model, inputs, labels, loss)
    gauss_newton = dense_gauss_newton(model, inputs, labels, loss)
    outputs, weights = outputs_at(model, inputs)
    slope = torch.autograd.functional.jacobian(lambda w: loss(outputs(w), labels).sum(), weights)
    for options in ({}, {"chunk": 5}, {"chunk": 1}, {"chunk": 5, "memory": 1}):
        ours = Hessian(model, inputs, labels, loss=loss, **options)
        assert torch.allclose(every(ours), hessian, atol=1e-12)
        assert torch.allclose(ours.gradient(), slope, atol=1e-12)
        theirs = GaussNewton(model, inputs, labels, loss=loss, **options)
        assert torch.allclose(every(theirs), gauss_newton, atol=1e-12)
        assert ours.flags == theirs.flags == ()


@pytest.mark.parametrize("labels", [torch.arange(COUNT) // 6, torch.arange(COUNT) % 3])
@pytest.mark.parametrize("left_out", [0, 3])
@pytest.mark.parametrize("loss", [LOSSES["class weights"], F.cross_entropy])
def test_a_loss_is_tried_on_all_labels_however_many_and_in_whatever_order(
    labels, left_out, loss, monkeypatch
):
    monkeypatch.setattr(losses, "MOST", 16)  # four labels at a time
    model, inputs, labels = network(), examples()[0], labels.clone()
    labels[COUNT - left_out :] = -100
    expected = dense(model, inputs, labels, loss)
    assert torch.allclose(every(Hessian(model, inputs, labels, loss=loss, chunk=4)), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_a_rise_of_the_loss_is_that_of_all_examples_whatever_the_chunks(name, monkeypatch):
    loss, model, (inputs, labels) = LOSSES[name], network(), examples()
    parameters = list(model.parameters())
    base = loss(model(inputs), labels).sum()
    slopes = torch.autograd.grad(base, parameters)
    length = torch.cat([slope.flatten() for slope in slopes]).norm()
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for parameter, slope in zip(moved.parameters(), slopes, strict=True):
            parameter += 0.05 * slope / length
        rise = (loss(moved(inputs), labels).sum() - base).item()
    for chunk in (200, 5):
        monkeypatch.setattr(landscape, "CHUNK", chunk)
        assert sam_sharpness(model, inputs, labels, loss=loss).value == pytest.approx(rise)
        values = [read(model, inputs, labels, loss=loss).value
                  for read in (asam_sharpness, keskar_sharpness)]  # fmt: skip
        if chunk == 200:
            expected = values
    assert values == pytest.approx(expected)


@pytest.mark.parametrize("name", ["mean", "sum", "class weights", "penalty of the batch"])
def test_an_examples_own_loss_is_that_of_it_alone(name):
    loss, model, (inputs, labels) = LOSSES[name], network(), examples()
    alone = [(row[None], label[None]) for row, label in zip(inputs, labels, strict=True)]
    expected = [
        torch.autograd.functional.hessian(lambda x, t=t: loss(model(x), t), x).view(6, 6)
        for x, t in alone
    ]
    ours = InputHessian(model, inputs, labels, loss=loss, chunk=5)
    found = ours @ torch.eye(6, dtype=torch.float64).expand(COUNT, 6, 6)
    assert torch.allclose(found, torch.stack(expected), atol=1e-12)
    lengths = [
        torch.autograd.functional.jacobian(lambda x, t=t: loss(model(x), t), x).norm()
        for x, t in alone
    ]
    value = input_gradient_norm(model, inputs, labels, loss=loss).value
    assert value == pytest.approx(torch.stack(lengths).mean().item())


class Masked(nn.Module):
    """Logits, and which examples are to count: outputs that cannot be differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(x), "counts": x[:, 0] > 0.5, "seen": torch.tensor(len(x))}


def of_those_that_count(outputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    weights = 0.2 + outputs["counts"].double()
    return (F.cross_entropy(outputs["logits"], labels, reduction="none") * weights).mean()


def of_their_share(outputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    return of_those_that_count(outputs, labels) / (0.2 + outputs["counts"].double().mean())


@pytest.mark.parametrize("loss", [of_those_that_count, of_their_share])
def test_outputs_that_are_no_floating_point_are_split_by_example_too(loss, monkeypatch):
    model, (inputs, labels) = Masked().eval(), examples()
    counts = model(inputs)["counts"]

    def plain(scores: Tensor, labels: Tensor) -> Tensor:
        return loss({"logits": scores, "counts": counts}, labels)

    expected = dense(model.network, inputs, labels, plain)
    rise = sam_sharpness(model.network, inputs, labels, loss=plain).value
    monkeypatch.setattr(landscape, "CHUNK", 5)
    for options in ({}, {"chunk": 5}, {"chunk": 1}):
        found = every(Hessian(model, inputs, labels, loss=loss, **options))
        assert torch.allclose(found, expected, atol=1e-12)
    assert sam_sharpness(model, inputs, labels, loss=loss).value == pytest.approx(rise)
    own = 0.2 + counts.double()
    if loss is of_their_share:
        own = own / own
    each = InputHessian(model.network, inputs, labels) @ torch.eye(6).double().expand(COUNT, 6, 6)
    for chunk in (5, 200):
        found = InputHessian(model, inputs, labels, loss=loss, chunk=chunk)
        found = found @ torch.eye(6, dtype=torch.float64).expand(COUNT, 6, 6)
        assert torch.allclose(found, own[:, None, None] * each, atol=1e-12)


class Recurrent(nn.Module):
    """Logits, a hidden state with layers first, and a number: only the logits have rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs, hidden = self.layers(x.view(-1, 3, 2))
        scores = self.head(outputs[:, -1])
        return scores, hidden, scores.square().mean()


@pytest.mark.parametrize("name", ["mean", "class weights"])
def test_what_a_loss_of_torch_does_not_take_of_the_outputs_counts_for_nothing(name, monkeypatch):
    model, (inputs, labels), loss = Recurrent().double().eval(), examples(), LOSSES[name]
    logits = nn.Sequential(model, First()).eval()
    for matrix in (Hessian, GaussNewton):
        theirs = every(matrix(logits, inputs, labels, loss=loss))
        ours = matrix(model, inputs, labels, loss=loss, chunk=5)
        assert torch.allclose(every(ours), theirs, atol=1e-12)
        assert ours.flags == ()
        assert (ours.part() is not None) == (name == "mean")
    monkeypatch.setattr(landscape, "CHUNK", 5)
    for reading in (sam_sharpness, asam_sharpness, keskar_sharpness, input_gradient_norm):
        values = [reading(m, inputs, labels, loss=loss).value for m in (model, logits)]
        assert values[0] == pytest.approx(values[1])


class First(nn.Module):
    """The first of several outputs."""

    def forward(self, outputs: tuple[Tensor, ...]) -> Tensor:
        return outputs[0]


@pytest.mark.parametrize(
    ("loss", "ignored"),
    [
        (F.cross_entropy, -100),
        (nn.CrossEntropyLoss(ignore_index=-1), -1),
        (functools.partial(F.cross_entropy, ignore_index=255), 255),
        (functools.partial(nn.CrossEntropyLoss(ignore_index=9)), 9),
    ],
)
def test_labels_that_are_left_out_count_for_nothing(loss, ignored):
    model, (inputs, labels) = network(), examples()
    labels[:6] = ignored
    expected = dense(model, inputs[6:], labels[6:], F.cross_entropy)
    assert torch.allclose(every(Hessian(model, inputs, labels, loss=loss, chunk=4)), expected)
    labels[7] = -2
    with pytest.raises(RequestError, match="labels lie in -2 … 2; expected 0 … 2"):
        Hessian(model, inputs, labels, loss=loss)


def test_a_term_in_the_weights_themselves_counts_where_it_can_and_is_refused_elsewhere():
    model, (inputs, labels) = network(), examples()

    def decayed(scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores, labels) + sum(p.square().sum() for p in model.parameters())

    hessian = Hessian(model, inputs, labels, loss=decayed, chunk=5)
    plain = dense(model, inputs, labels, F.cross_entropy)
    assert torch.allclose(every(hessian), plain + 2 * torch.eye(len(plain), dtype=plain.dtype))
    for refusing in (
        lambda: GaussNewton(model, inputs, labels, loss=decayed),
        lambda: sam_sharpness(model, inputs, labels, loss=decayed),
        lambda: Hessian(model, inputs, labels, loss=lambda z, t: decayed(z, t) + z.var()),
    ):
        with pytest.raises(RequestError, match="other than through its outputs"):
            refusing()


def test_a_randomised_loss_is_flagged_and_has_not_converged():
    model, (inputs, labels) = network(), examples()

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(F.dropout(scores), labels)

    before = torch.get_rng_state()
    matrices = [m(model, inputs, labels, loss=loss) for m in (Hessian, GaussNewton, InputHessian)]
    for matrix in matrices:
        assert "randomised" in matrix.flags[0]
        assert not top_eigenvalues(matrix, max_products=3).converged
    assert "randomised" in sam_sharpness(model, inputs, labels, loss=loss).flags[0]
    assert not torch.equal(torch.get_rng_state(), before)  # the loss itself draws


@pytest.mark.parametrize(
    ("loss", "labels", "message"),
    [
        (F.cross_entropy, examples()[1] + 9, "labels lie in 9 … 11; expected 0 … 2"),
        (F.cross_entropy, examples()[1].double(), "the loss fails on the network's outputs"),
        (F.cross_entropy, examples()[1].tolist(), "labels are list"),
        (lambda z, t: 1.0, examples()[1], "the loss is float; expected a tensor"),
        (lambda z, t: F.cross_entropy(z.logits, t), examples()[1], "AttributeError"),
        (lambda z, t: z.sum(1), examples()[1], r"the loss has shape \(16,\)|\(17,\)"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_in_one_sentence(loss, labels, message):
    inputs, _ = examples()
    for reading in (lambda *a, **k: Hessian(*a, **k), sam_sharpness, input_gradient_norm):
        with pytest.raises(RequestError, match=message) as raised:
            reading(network(), inputs, labels, loss=loss)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_labels_may_be_whole_numbers_of_any_type(dtype):
    model, (inputs, labels) = network(), examples()
    found = top_eigenvalues(Hessian(model, inputs, labels.to(dtype)))
    assert torch.equal(found.values, top_eigenvalues(Hessian(model, inputs, labels)).values)


class Attention(nn.Module):
    """One layer of attention over three tokens, fused or written out."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fused = fused
        self.embed, self.all, self.head = nn.Linear(2, 8), nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.view(len(x), 3, 2))
        q, k, v = self.all(tokens).view(len(x), 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.mT / 2).softmax(-1) @ v
        return self.head((tokens + mixed.transpose(1, 2).flatten(2)).mean(1))


class WrittenOut(nn.Module):
    """g v / ‖v‖ by itself."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        parts = layer.parametrizations.weight
        given = layer.bias, parts.original0, parts.original1
        self.bias, self.g, self.v = (nn.Parameter(part.detach().clone()) for part in given)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.g * self.v / self.v.norm(dim=1, keepdim=True), self.bias)


def weight_normed() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(6, 5))
    ours = nn.Sequential(layer, nn.Softplus(), nn.Linear(5, 3)).double().eval()
    theirs = nn.Sequential(WrittenOut(layer), nn.Softplus(), copy.deepcopy(ours[2])).eval()
    return ours, theirs


def attending() -> tuple[nn.Module, nn.Module]:
    return Attention(fused=True).double().eval(), Attention(fused=False).double().eval()


class Ensemble(nn.Module):
    """The mean of three small networks whose parameters are stacked, by vmap or one by one."""

    def __init__(self, *, mapped: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mapped = mapped
        members = [nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 3, 2), nn.ReLU(),
                                 nn.Flatten(), nn.Linear(6, 3)) for _ in range(3)]  # fmt: skip
        stacked, _ = stack_module_state(members)
        self.names = list(stacked)
        self.parts = nn.ParameterList(part.detach() for part in stacked.values())
        self.member = [members[0]]  # whose own parameters are not used, and none of the ensemble's

    def forward(self, x: Tensor) -> Tensor:
        def answer(*parts: Tensor) -> Tensor:
            weights = dict(zip(self.names, parts, strict=True))
            return functional_call(self.member[0], weights, (x,))

        if self.mapped:
            return vmap(answer)(*self.parts).mean(0)
        return torch.stack([answer(*parts) for parts in zip(*self.parts, strict=True)]).mean(0)


def ensembles() -> tuple[nn.Module, nn.Module]:
    return Ensemble(mapped=True).double().eval(), Ensemble(mapped=False).double().eval()


@pytest.mark.parametrize("pair", [weight_normed, attending, ensembles])
def test_layers_whose_second_derivative_torch_lacks_or_mistakes(pair):
    (ours, theirs), (inputs, labels) = pair(), examples()
    assert torch.allclose(ours(inputs), theirs(inputs))
    expected = dense(theirs, inputs, labels, F.cross_entropy)
    found = Hessian(ours, inputs, labels)
    assert torch.allclose(every(found), expected, atol=1e-12)
    assert found.flags == ()
    spectrum = torch.linalg.eigvalsh(expected)
    assert torch.allclose(top_eigenvalues(found, k=3).values, spectrum.flip(0)[:3], rtol=1e-3)
    assert torch.allclose(bottom_eigenvalues(found).values, spectrum[:1], rtol=1e-3)
    for matrix in (GaussNewton, InputHessian):
        values = [top_eigenvalues(matrix(m, inputs, labels)).values for m in (ours, theirs)]
        assert torch.allclose(*values, rtol=1e-3)


class Wrong(torch.autograd.Function):
    """The identity with what is no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return slope + 0.1 * x.roll(1, 1)


class Once(Wrong):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope


def with_function(function: type[torch.autograd.Function]) -> nn.Module:
    class Layer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function.apply(x)  # type: ignore[no-any-return]

    model = network()
    return nn.Sequential(model[0], Layer(), *model[1:]).eval()


def test_products_that_are_not_symmetric_are_flagged_and_have_not_converged():
    model, (inputs, labels) = with_function(Wrong), examples()
    matrix = Hessian(model, inputs, labels)
    assert "not symmetric" in matrix.flags[0]
    assert not top_eigenvalues(matrix).converged
    assert not trace(matrix, tolerance=1e-3).converged
    flagged = spectral_density(matrix, probes=2, steps=4)
    assert "not symmetric" in flagged.flags[0]


@pytest.mark.parametrize("matrix", [Hessian, GaussNewton, InputHessian])
def test_a_layer_without_a_second_derivative_is_refused_in_one_sentence(matrix):
    inputs, labels = examples()
    with pytest.raises(RequestError, match="as often as curvature needs"):
        top_eigenvalues(matrix(with_function(Once), inputs, labels))


def tied() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    model[2].weight = model[0].weight
    return model.double().eval()


def unused() -> nn.Module:
    model = network()
    model.register_module("beside", nn.Linear(2, 2).double())
    model.forward = lambda x: model[2](model[1](model[0](x)))  # type: ignore[method-assign]
    model[0].bias.requires_grad_(False)
    return model.eval()


@pytest.mark.parametrize("make", [tied, unused])
def test_shared_unused_and_frozen_parameters_count_once_as_zero_and_not_at_all(make):
    model, (inputs, labels) = make(), examples()
    found, expected = Hessian(model, inputs, labels), dense(model, inputs, labels, F.cross_entropy)
    assert found.size == len(expected)
    assert torch.allclose(every(found), expected, atol=1e-12)
    assert found.flags == ()
    sam_sharpness(model, inputs, labels)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_and_never_converged_beyond_what_it_holds(dtype):
    model, (inputs, labels) = network(), examples()
    exact = top_eigenvalues(Hessian(model, inputs, labels), k=2).values
    half, given = copy.deepcopy(model).to(dtype), inputs.to(dtype)
    matrix = Hessian(half, given, labels)
    found = top_eigenvalues(matrix, k=2, max_products=20)
    assert torch.allclose(found.values, exact, rtol=0.1)
    assert not found.converged
    assert f"computes in {dtype}" in found.flags[0]
    assert not trace(matrix, tolerance=1e-3).converged
    for reading in (sam_sharpness, asam_sharpness, keskar_sharpness, input_gradient_norm):
        assert f"computes in {dtype}" in reading(half, given, labels).flags[0]
    assert batch_sharpness(half, given, labels, batch_size=5, batches=2).flags
    with torch.autocast("cpu", torch.bfloat16):
        under = top_eigenvalues(Hessian(copy.deepcopy(model).float(), inputs.float(), labels))
    assert not under.converged
    assert "bfloat16" in under.flags[0]
