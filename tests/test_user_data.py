"""Data sets of the user's own: told in one sentence what is wrong, before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sgdscope import data
from sgdscope.data import Images
from sgdscope.errors import RequestError


def images(count=40, *, shape=(1, 4, 4), labels=lambda i: i % 10):
    pixels = torch.arange(count * 16).reshape(count, 1, 4, 4).remainder(256).to(torch.uint8)
    return Images(pixels.expand(count, *shape).contiguous(), labels(torch.arange(count)))


def whole(labels=lambda i: i % 10):
    train, test = images(labels=labels), images(20, labels=labels)
    return data.split(train, test, validation_size=10, classes=10)


def halves(make):
    """Of a data set made by a function of its images alone."""
    return lambda: data.split(make(images()), images(20), validation_size=10, classes=10)


WRONG = {
    "from one": (lambda: whole(lambda i: i % 10 + 1), "train labels from 1 to 10; expected 0 to 9"),
    "minus one": (
        lambda: whole(lambda i: i % 10 - 1),
        "train labels from -1 to 8; expected 0 to 9",
    ),
    "one-hot": (
        lambda: whole(lambda i: torch.nn.functional.one_hot(i % 10)),
        r"labels of shape \(40, 10\); expected .* and \(N,\)",
    ),
    "floats": (
        halves(lambda i: replace(i, pixels=i.pixels / 255)),
        r"pixels of type float32, from 0 to 1; expected uint8 from 0 to 255",
    ),
    "floats by hand": (
        lambda: replace(whole(), test=replace(images(), pixels=images().pixels.double() / 255)),
        r"pixels of type float64",
    ),
    "float labels": (
        halves(lambda i: replace(i, labels=i.labels.double())),
        "labels of type float64; expected whole numbers",
    ),
    "no channels": (
        halves(lambda i: replace(i, pixels=i.pixels[:, 0])),
        r"shape \(40, 4, 4\) .*; expected \(N, channels, height, width\)",
    ),
    "a label too few": (
        halves(lambda i: replace(i, labels=i.labels[1:])),
        r"labels of shape \(39,\)",
    ),
    "other test size": (
        lambda: replace(whole(), test=images(shape=(3, 4, 4))),
        r"test images of shape \(3, 4, 4\)",
    ),
    "nothing held out": (
        lambda: data.split(images(), images(20), validation_size=0, classes=10),
        r"validation_size = 0; expected 1 to 39",
    ),
    "all held out": (
        lambda: data.split(images(), images(20), validation_size=40, classes=10),
        r"validation_size = 40; expected 1 to 39",
    ),
    "an empty part": (lambda: replace(whole(), test=images()[:0]), "no test images"),
    "one class": (
        lambda: replace(whole(lambda i: i * 0), classes=1),
        r"classes = 1; expected at least 2",
    ),
    "moments": (lambda: replace(whole(), mean=[0.5] * 3), r"mean = .* each of 1 channels"),
    "no spread": (
        lambda: replace(whole(), std=[0.0]),
        r"std = \[0.0\]; expected a finite number above 0",
    ),
    "another size": (
        lambda: replace(whole(), train=whole().train[:20]),
        "20 training images; expected 30",
    ),
    "nothing": (lambda: None, r"load\(\) returns NoneType; expected a Dataset"),
    "raises": (lambda: {}["images"], r"KeyError: 'images'"),
}


@pytest.fixture
def register():
    def add(make):
        @data.DATA.add("mine")
        class Mine:
            """Made by a function."""

            train_size = 30

            def load(self):
                return make()

    return add


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_trained_on_is_refused(register, make, message):
    register(make)
    with pytest.raises(RequestError, match="data set 'mine'.*" + message):
        data.load("mine")


def test_classes_without_images_and_two_classes_are_data_as_any(register):
    register(lambda: whole(lambda i: i % 2 * 9))
    assert data.load("mine").train.labels.unique().tolist() == [0, 9]


def test_arrays_lists_and_labels_of_any_whole_type_become_tensors(register):
    def arrays():
        train, test = images(), images(20)
        return data.split(
            Images(train.pixels.numpy(), train.labels.tolist()),
            Images(test.pixels, test.labels.int()),
            validation_size=10,
            classes=10,
        )

    register(arrays)
    loaded = data.load("mine")
    assert torch.equal(loaded.train.pixels, whole().train.pixels)
    assert {part.labels.dtype for part in (loaded.train, loaded.test)} == {torch.int64}


def test_a_channel_of_one_value_is_not_divided_by_zero():
    flat = images(shape=(3, 4, 4))
    flat.pixels[:, 1] = 7
    assert data.split(flat, flat, validation_size=10, classes=10).std[1] == 1


def test_what_a_loader_draws_is_the_same_each_time(register):
    def noisy():
        drawn = torch.rand(40, 1, 4, 4) + torch.from_numpy(np.random.rand(40, 1, 4, 4))
        return data.split(
            replace(images(), pixels=(drawn * 127).to(torch.uint8)),
            images(20),
            validation_size=10,
            classes=10,
        )

    register(noisy)
    assert torch.equal(data.load("mine").train.pixels, data.load("mine").train.pixels)
