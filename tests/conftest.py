"""Shared by the tests: one thread, small data, small runs."""

import os
import sys
from pathlib import Path

import pytest
import torch

from sgdscope import references
from sgdscope.data import Dataset, Images, load
from sgdscope.parts import CLAIMS, DATA, MEASURES, METHODS, MODELS, OPTIMIZERS, SCHEDULES
from sgdscope.study import plugins
from sgdscope.study.run import Run
from sgdscope.training.precision import bfloat16_works

torch.set_num_threads(1)
bfloat16_works()  # settled before oneDNN is first used


@pytest.fixture(autouse=True)
def afresh():
    """The same random draws and registered parts, whatever other tests ran before in a process."""
    torch.manual_seed(0)
    registries = (MODELS, DATA, SCHEDULES, OPTIMIZERS, METHODS, MEASURES, CLAIMS)
    before = [dict(registry._parts) for registry in registries]
    yield
    for registry, parts in zip(registries, before, strict=True):
        registry._parts.clear()
        registry._parts.update(parts)
    for registry in registries:
        registry._origins.clear()
    plugins._loaded.clear()
    references.forget()
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, plugins._Sources)]
    for name, module in list(sys.modules.items()):
        if isinstance(getattr(module, "__loader__", None), plugins._Sources):
            del sys.modules[name]


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture
def small(digits: Dataset) -> Dataset:
    """192 training and 60 test digits: enough to train on, quick to measure."""
    return Dataset(
        digits.train[:192], digits.validation[:40], digits.test[:60], 10, digits.mean, digits.std
    )


@pytest.fixture
def colour() -> Dataset:
    """Random 32×32 colour images, augmented as CIFAR-10 is."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> Images:
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.randint(0, 10, (count,), generator=generator))

    return Dataset(images(64), images(16), images(16), 10, [0.5] * 3, [0.25] * 3, augmented=True)


@pytest.fixture
def make_run():
    """A run on digits; any setting can be replaced."""

    def make(**settings) -> Run:
        defaults = {
            "model": "stdcnn", "data": "digits", "schedule": "fixed",
            "schedule_options": {"learning_rate": 0.05}, "batch_size": 32, "momentum": 0.0,
            "epochs": 2, "seed": 0,
        }  # fmt: skip
        if "steps" in settings:
            defaults["epochs"] = None
        return Run(**(defaults | settings))

    return make


@pytest.fixture
def real_data() -> Path:
    """The folder of the real images; a test that needs it is skipped where there is none."""
    folder = os.environ.get("SGDSCOPE_DATA")
    if not folder:
        pytest.skip("needs the real images: set SGDSCOPE_DATA to their folder")
    return Path(folder)
