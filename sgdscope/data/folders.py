"""Images in one folder per class."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sgdscope.data import cache
from sgdscope.data.encoded import Encoded, Shaping
from sgdscope.data.images import Dataset, Images, arranged
from sgdscope.errors import RequestError


class Folder(Shaping):
    """PATH/train/CLASS/*.png, PATH/test/CLASS/*.png; a tenth held out, or PATH/validation."""

    def load(self, path: str) -> Dataset:
        """Find the classes and the shape, then decode, or read the cache.

        Raises:
            RequestError: a part or a class is missing, or an image does not fit.
        """
        home = Path(path)
        parts = {name: _classes(folder) for name, folder in _parts(home).items()}
        classes = list(parts["train"])
        for name, own in parts.items():
            _alike(home, name, list(own), classes)
        files = {
            name: [file for found in own.values() for file in found] for name, own in parts.items()
        }
        tensors = self.tensors(
            {name: [Encoded(str(file), file) for file in own] for name, own in files.items()},
            name=str(home),
            stamp=cache.stamps(file for own in files.values() for file in own),
        )
        images = {name: Images(tensors[name], _labels(own)) for name, own in parts.items()}
        return arranged(
            images["train"], images["test"], validation=images.get("validation"),
            classes=len(classes),
        )  # fmt: skip


_NAMES = {"train": ["train"], "validation": ["validation", "val", "valid"], "test": ["test"]}


def _parts(home: Path) -> dict[str, Path]:
    """The folder of each part that is there."""
    if not home.is_dir():
        raise RequestError(f"no folder {home}; expected one with train/CLASS and test/CLASS in it")
    found = sorted(f.name for f in home.iterdir() if f.is_dir() and not f.name.startswith("."))
    for name in ("train", "test"):
        if name not in found:
            raise RequestError(
                f"{home}: no folder {name!r} in it; expected {home / name}/CLASS with images, "
                f"found {', '.join(found[:10]) or 'none'}{' …' * (len(found) > 10)}"
            )
    there = {part: [n for n in names if n in found] for part, names in _NAMES.items()}
    for part, own in there.items():
        if len(own) > 1:
            raise RequestError(f"{home}: {' and '.join(own)} in it; expected one for {part}")
    return {part: home / own[0] for part, own in there.items() if own}


def _classes(part: Path) -> dict[str, list[Path]]:
    """The image files of each class, in the order of their names."""
    found: dict[str, list[Path]] = {}
    for entry in sorted(part.iterdir()):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir():
            raise RequestError(f"{entry}: is not in a class folder; expected {part}/CLASS/…")
        files = [file for file in sorted(entry.rglob("*")) if _is_image(file, within=entry)]
        if not files:
            raise RequestError(f"{entry}: no images in it; expected images of class {entry.name!r}")
        found[entry.name] = files
    return found


def _is_image(file: Path, *, within: Path) -> bool:
    """Whether a file in a class folder is one of its images, and not hidden or of the system's.

    Raises:
        RequestError: it is a link that would be passed over.
    """
    if any(part.startswith(".") for part in file.parts[len(within.parts) :]):
        return False
    if file.is_symlink() and not file.is_file():
        leads = "to a folder" if file.is_dir() else "nowhere"
        raise RequestError(f"{file}: a link that leads {leads}; expected an image")
    return file.is_file() and file.name != "Thumbs.db"


def _alike(home: Path, part: str, found: list[str], classes: list[str]) -> None:
    if len(classes) < 2:
        named = ", ".join(map(repr, classes)) or "none"
        raise RequestError(f"{home / 'train'}: {len(classes)} class ({named}); expected at least 2")
    for one, other, place in (
        (found, classes, f"{part}, not in train"), (classes, found, f"train, not in {part}")
    ):  # fmt: skip
        if only := [name for name in one if name not in other]:
            raise RequestError(
                f"{home}: class {only[0]!r} is in {place}; expected the same classes in both"
            )


def _labels(classes: dict[str, list[Path]]) -> Tensor:
    counts = torch.tensor([len(files) for files in classes.values()])
    return torch.arange(len(counts)).repeat_interleave(counts)
