import io
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from sgdscope import data
from sgdscope.data import images
from sgdscope.errors import RequestError


class Tiny(data.HubImages):
    """Six training and two test images of 4×4, as a Hugging Face repository lays them out."""

    name, repository = "tiny", "nobody/tiny"
    shape = (1, 4, 4)
    train_size, validation_size, test_size = 4, 2, 2


def write(folder: Path, part: str, count: int, *, column="image", side=4, label=0) -> Path:
    rows = []
    for i in range(count):
        png = io.BytesIO()
        Image.fromarray(np.full((side, side), 10 * i, dtype=np.uint8)).save(png, "PNG")
        rows.append({"bytes": png.getvalue(), "path": None})
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{part}-00000-of-00001.parquet"
    pq.write_table(pa.table({column: rows, "label": [label] * count}), file)
    return file


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """Where SGDSCOPE_DATA points; caches are kept apart too."""
    monkeypatch.setenv("SGDSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hub")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_parquet_images_become_tensors_and_are_decoded_once(root, monkeypatch):
    write(root / "tiny", "train", 6)
    write(root / "tiny", "test", 2, label=3)
    first = Tiny().load()
    assert first.test.pixels[:, 0, 0, 0].tolist() == [0, 10]
    assert first.test.labels.tolist() == [3, 3]
    held = torch.cat([first.train.pixels, first.validation.pixels])
    assert sorted(held[:, 0, 0, 0].tolist()) == [0, 10, 20, 30, 40, 50]
    monkeypatch.setattr(Tiny, "_decode", lambda *_: pytest.fail("decoded again"))
    assert torch.equal(Tiny().load().train.pixels, first.train.pixels)


def test_a_damaged_cache_is_decoded_anew(root, tmp_path):
    write(root / "tiny", "train", 6)
    write(root / "tiny", "test", 2)
    first = Tiny().load()
    (cache,) = (tmp_path / "cache" / "sgdscope").iterdir()
    cache.write_bytes(cache.read_bytes()[:100])
    assert torch.equal(Tiny().load().train.pixels, first.train.pixels)


def test_a_cache_that_has_not_been_read_for_a_month_is_removed(root, tmp_path):
    there = tmp_path / "cache" / "sgdscope"
    there.mkdir(parents=True)
    old, recent = there / "old-1.safetensors", there / "recent-1.safetensors"
    for file, days in ((old, 31), (recent, 29)):
        file.write_bytes(b"")
        os.utime(file, (time.time() - days * 86_400,) * 2)
    both(root)
    Tiny().load()
    assert not old.exists()
    assert recent.exists()
    (own,) = there.glob("tiny-*")
    os.utime(own, (0, 0))
    Tiny().load()
    assert own.stat().st_mtime > 0  # when it was last read


@pytest.mark.parametrize("name", ["data [v2]", "a*b", "ü ?", "year=2020"])
def test_a_folder_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SGDSCOPE_DATA", str(tmp_path / name))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    both(tmp_path / name)
    assert len(Tiny().load().train) == 4


def test_a_user_without_a_home_has_a_cache_elsewhere(root, monkeypatch, tmp_path):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    both(root)
    assert len(Tiny().load().train) == 4
    assert list((tmp_path / "temporary").rglob("tiny-*.safetensors"))


def test_images_of_another_shape_are_decoded_anew(root, monkeypatch):
    both(root)
    assert Tiny().load().shape == (1, 4, 4)
    monkeypatch.setattr(Tiny, "shape", (3, 4, 4))
    assert Tiny().load().shape == (3, 4, 4)


def both(root: Path, train: int = 6, test: int = 2, **options) -> None:
    write(root / "tiny", "train", train, **options)
    write(root / "tiny", "test", test, **options)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: None, "no folder 'tiny'"),
        (lambda root: (root / "tiny").mkdir(), r"no file train-\*.parquet"),
        (lambda root: write(root / "tiny", "train", 6), r"no file test-\*.parquet"),
        (lambda root: both(root, test=3), "3 images; expected 2"),
        (lambda root: both(root, column="img"), "no column 'image'; .*, found img, label"),
        (lambda root: both(root, side=5), "expected 4×4×1"),
        (lambda root: both(root, label=10), "labels outside 0 … 9"),
    ],
)
def test_bad_data_is_one_clear_message(root, damage, message):
    damage(root)
    with pytest.raises(RequestError, match=message):
        Tiny().load()


def test_a_truncated_file_is_named(root):
    file = write(root / "tiny", "train", 6)
    write(root / "tiny", "test", 2)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(RequestError, match=r"'tiny' cannot be read from .*tiny"):
        Tiny().load()


def test_no_network_and_no_data_says_what_to_do(root, monkeypatch):
    monkeypatch.delenv("SGDSCOPE_DATA")

    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(
        RequestError,
        match=r"nobody/tiny on the Hugging Face hub: ConnectionError.*set SGDSCOPE_DATA",
    ):
        Tiny().load()


def test_digits_need_nothing(digits):
    assert [len(p) for p in (digits.train, digits.validation, digits.test)] == [1297, 200, 300]
    assert digits.shape == (1, 28, 28)
    assert digits.train.pixels.dtype == torch.uint8
    inputs = digits.test.inputs()
    assert (inputs.min(), inputs.max()) == (0, 1)


@pytest.mark.parametrize(
    ("name", "sizes", "mean", "std"),
    [
        ("mnist", (55_000, 5_000, 10_000), [0.1307], [0.3081]),
        ("fashion_mnist", (55_000, 5_000, 10_000), [0.2860], [0.3530]),
        ("cifar10", (40_000, 10_000, 10_000), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    ],
)
def test_real_images_have_the_published_statistics(real_data, name, sizes, mean, std):
    dataset = data.load(name)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == sizes
    assert dataset.mean == pytest.approx(mean, abs=1e-3)
    assert dataset.std == pytest.approx(std, abs=1e-3)
    assert dataset.test.labels.bincount().tolist() == pytest.approx([1000] * 10, abs=140)
    assert dataset.augmented == (name == "cifar10")


def test_moments_are_those_of_the_pixels(colour):
    mean, std = images._moments(colour.train.pixels)
    pixels = colour.train.pixels.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_augmentation_is_a_crop_of_the_padded_image_or_of_its_mirror(colour):
    pixels = colour.train.pixels[:20]
    changed = data.augment(pixels, torch.arange(20), seed=0, epoch=1)
    padded = torch.nn.functional.pad(pixels, (4, 4, 4, 4))
    for image, original in zip(changed, padded, strict=True):
        windows = (
            original.unfold(1, 32, 1).unfold(2, 32, 1).flatten(1, 2).transpose(0, 1)
        )  # 81 crops
        same = (windows == image).flatten(1).all(1)
        mirrored = (windows.flip(3) == image).flatten(1).all(1)
        assert same.any() != mirrored.any()


def test_augmentation_uses_every_offset_and_flips_half():
    ramp = torch.arange(1, 33, dtype=torch.uint8).expand(4000, 1, 32, 32)
    changed = data.augment(ramp, torch.arange(4000), seed=0, epoch=1)[:, 0]
    middle = changed[:, 16, 15:17].int()
    flips = (middle[:, 1] < middle[:, 0]).double().mean()
    assert flips == pytest.approx(0.5, abs=0.04)
    columns = torch.where(middle[:, 1] > middle[:, 0], middle[:, 0], 33 - middle[:, 0])
    assert len(columns.unique()) == 9


def test_augmentation_depends_on_image_and_epoch_not_on_the_batch(colour):
    index = torch.arange(20)
    whole = data.augment(colour.train.pixels[:20], index, seed=0, epoch=1)
    part = data.augment(colour.train.pixels[5:9], index[5:9], seed=0, epoch=1)
    assert torch.equal(part, whole[5:9])
    later = data.augment(colour.train.pixels[:20], index, seed=0, epoch=2)
    assert not torch.equal(later, whole)
