"""K networks as one give, slice by slice, what each gives alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdscope.errors import RequestError
from sgdscope.models import Dropout, Normalise, Residual, bind_dropout
from sgdscope.training.layouts import LAYOUTS
from sgdscope.training.stacking import stack, unstack

COUNT, BATCH = 3, 4
variants = pytest.mark.parametrize("variant", ["grouped", "im2col"])


def every_layer(seed: int) -> nn.Module:
    """One small network with every layer that can be stacked, in float64."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        Normalise([0.4, 0.5], [0.2 + 0.1 * seed, 0.3]),
        nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(2, 1)), nn.BatchNorm2d(4), nn.ReLU(),
        Dropout(0.3), Residual(4, 4, 1), Residual(4, 6, 2), nn.Identity(),
        nn.Conv2d(6, 5, 3, padding=1, bias=False), nn.MaxPool2d(3, stride=2, padding=1),
        nn.Sequential(nn.Flatten(), nn.Linear(5 * 2 * 3, 8, bias=False), nn.ReLU(), Dropout(0.5)),
        nn.Linear(8, 3),
    )  # fmt: skip
    bind_dropout(network, seed=seed, step=torch.tensor(7))
    return network.double().train()


@pytest.fixture
def networks() -> list[nn.Module]:
    return [every_layer(seed) for seed in range(COUNT)]


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(9)
    return torch.rand(COUNT, BATCH, 2, 7, 11, generator=generator, dtype=torch.float64)


def stacked(networks, variant):
    whole = stack(networks, variant=variant)
    whole.bind_dropout(torch.tensor(7))
    return whole


@variants
def test_each_slice_answers_as_its_network(networks, images, variant):
    whole = stacked(networks, variant)
    answers = whole(images)
    for number, network in enumerate(networks):
        assert torch.allclose(answers[number], network(images[number]), rtol=1e-11, atol=1e-12)
    for name, tensor in whole.network.state_dict().items():
        for number, network in enumerate(networks):
            assert torch.allclose(tensor[number], network.state_dict()[name]), name
    answers = whole.eval()(images)
    for number, network in enumerate(networks):
        assert torch.allclose(answers[number], network.eval()(images[number]), rtol=1e-11)


@variants
def test_each_slice_has_its_networks_gradient(networks, images, variant):
    whole = stacked(networks, variant)
    answers = whole(images)
    labels = torch.tensor([0, 1, 2, 0])
    loss = sum(F.cross_entropy(answers[number], labels) for number in range(COUNT))
    ours = torch.autograd.grad(loss, list(whole.parameters()))
    for number, network in enumerate(networks):
        alone = F.cross_entropy(network(images[number]), labels)
        expected = torch.autograd.grad(alone, list(network.parameters()))
        for a, b in zip(ours, expected, strict=True):
            assert torch.allclose(a[number], b, rtol=1e-9, atol=1e-12)


@variants
def test_pooling_to_one_pixel_and_dropout_of_torchs_own(images, variant):
    networks = [
        nn.Sequential(nn.AdaptiveAvgPool2d(1), Dropout(0.5), nn.Flatten()) for _ in range(COUNT)
    ]
    whole = stack([network.eval() for network in networks], variant=variant)
    assert torch.allclose(whole(images), images.mean((3, 4)))
    dropped = whole.train()(images)
    assert torch.all((dropped == 0) | torch.isclose(dropped, 2 * images.mean((3, 4))))


@variants
def test_a_layer_without_weights_may_be_used_again(images, variant):
    """Each time it is named, inside other layers too, it is called."""

    def network(seed):
        torch.manual_seed(seed)
        again, drop, pool = nn.ReLU(), Dropout(0.3), nn.MaxPool2d(2)
        made = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), again, drop, pool, nn.Sequential(pool, again),
            nn.Flatten(), nn.Linear(4 * 1 * 2, 8), again, drop, nn.Linear(8, 3), again,
        )  # fmt: skip
        bind_dropout(made, seed=seed, step=torch.tensor(7))
        return made.double().train()

    networks = [network(seed) for seed in range(COUNT)]
    whole = stacked(networks, variant)
    assert whole.network.state_dict().keys() == networks[0].state_dict().keys()
    for number, answers in enumerate(whole(images)):
        assert torch.allclose(answers, networks[number](images[number]), rtol=1e-11, atol=1e-12)


@variants
def test_unstacking_gives_back_every_bit(networks, variant):
    whole = stacked(networks, variant)
    others = [every_layer(seed + 10) for seed in range(COUNT)]
    unstack(whole, others)
    for ours, theirs in zip(networks, others, strict=True):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name]), name


@variants
def test_a_layout_is_joined_and_split_without_loss(images, variant):
    layout = LAYOUTS[variant](COUNT)
    assert torch.equal(layout.split(layout.join(images)), images)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.GELU(), "network.1 = GELU.*cannot be stacked; expected one of AdaptiveAvgPool2d"),
        (nn.Conv2d(4, 4, 3, groups=2), "network.1 = Conv2d.*no groups"),
        (nn.Conv2d(4, 4, 3, padding="same"), "padding in numbers"),
        (nn.BatchNorm2d(4, affine=False), "BatchNorm2d.*an affine map"),
        (nn.Flatten(2), "Flatten.*start_dim=1"),
    ],
)
def test_a_layer_that_cannot_be_stacked_is_named(layer, words):
    with pytest.raises(RequestError, match=words):
        stack([nn.Sequential(nn.ReLU(), layer)] * 2, variant="grouped")


def test_networks_of_different_shapes_are_refused():
    with pytest.raises(RequestError, match=r"network\.0: networks of different shapes"):
        stack([nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(2, 4))], variant="im2col")
    with pytest.raises(RequestError, match="different shapes"):
        stack([Dropout(0.1), Dropout(0.2)], variant="im2col")


def with_tied_weights(network):
    network[1].weight = network[0].weight


def with_a_frozen_bias(network):
    network[1].bias.requires_grad_(False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_tied_weights, "a tensor for each of its weights"),
        (lambda network: network.append(network[0]), "a tensor for each of its weights"),
        (with_a_frozen_bias, r"network\.1\.bias: requires no gradient"),
        (lambda network: network[0].register_forward_hook(print), r"network\.0: .*without hooks"),
        (lambda network: network[0].register_forward_pre_hook(print), "without hooks"),
        (lambda network: network[0].register_full_backward_hook(print), "without hooks"),
        (lambda network: network[0].register_full_backward_pre_hook(print), "without hooks"),
        (lambda network: network[0].weight.register_hook(print), r"network\.0\.weight: .*hooks"),
        (
            lambda network: network[0].weight.register_post_accumulate_grad_hook(print),
            "without hooks",
        ),
    ],
)
def test_networks_that_a_stack_would_train_differently_are_refused(change, words):
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    change(network)
    with pytest.raises(RequestError, match=words):
        stack([network, network], variant="grouped")
