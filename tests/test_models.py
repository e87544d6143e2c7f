import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sgdscope import models

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
PAPER = [
    ("stdcnn", GREY, 23_010, 320),
    ("m1", GREY, 4_016_050, 8_000),
    ("c1", COLOUR, 1_756_682, 4_096),
    ("resnet18", COLOUR, 11_173_962, 512),
    ("resnet18-narrow", COLOUR, 176_402, 64),
]


@pytest.mark.parametrize(("name", "shape", "parameters", "features"), PAPER)
def test_the_papers_networks_have_the_papers_sizes(name, shape, parameters, features):
    model = models.build(name, shape=shape, classes=10, seed=0)
    assert sum(p.numel() for p in model.parameters()) == parameters
    first = next(module for module in model.modules() if isinstance(module, nn.Linear))
    assert first.in_features == features
    assert model(torch.rand(2, *shape)).shape == (2, 10)


def test_initialisation_follows_from_the_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = (models.build("stdcnn", shape=GREY, classes=10, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(a[0].weight, b[0].weight)
    assert not torch.equal(a[0].weight, c[0].weight)


def test_normalisation_is_the_models_first_layer():
    plain = models.build("stdcnn", shape=COLOUR, classes=10, seed=0).eval()
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    whole = models.build("stdcnn", shape=COLOUR, classes=10, seed=0, mean=mean, std=std).eval()
    pixels = torch.rand(4, *COLOUR)
    by_hand = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(whole(pixels), plain(by_hand), atol=1e-6)


def dropout(step: int) -> models.Dropout:
    layer = models.Dropout(0.25)
    models.bind_dropout(layer, seed=0, step=torch.tensor(step))
    return layer


def test_dropout_drops_its_share_and_keeps_the_mean():
    ones = torch.ones(1000, 50)
    dropped = dropout(3)(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert (dropped == 0).double().mean() == pytest.approx(0.25, abs=0.01)


def test_dropout_repeats_at_the_same_step_and_differs_at_the_next():
    ones = torch.ones(64, 50)
    assert torch.equal(dropout(3)(ones), dropout(3)(ones))
    assert not torch.equal(dropout(3)(ones), dropout(4)(ones))


def test_dropout_without_a_key_is_torchs():
    x = torch.rand(8, 50)
    layer = models.Dropout(0.5)
    torch.manual_seed(0)
    ours = layer(x)
    torch.manual_seed(0)
    assert torch.equal(ours, F.dropout(x, 0.5))
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.parametrize(("name", "shape"), [("stdcnn", GREY), ("c1", COLOUR)])
def test_pooling_before_relu_is_the_papers_network(name, shape):
    ours = models.build(name, shape=shape, classes=10, seed=0).eval()
    layers = list(ours)
    for i in range(len(layers) - 1):
        if isinstance(layers[i], nn.MaxPool2d) and isinstance(layers[i + 1], nn.ReLU):
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
    papers = nn.Sequential(*layers)
    pixels, labels = torch.rand(8, *shape), torch.arange(8)

    def answer(model):
        loss = F.cross_entropy(scores := model(pixels), labels)
        return [scores, *torch.autograd.grad(loss, list(model.parameters()))]

    for a, b in zip(answer(ours), answer(papers), strict=True):
        assert torch.equal(a, b)
