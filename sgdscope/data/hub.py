"""Image classification data sets in the format of the Hugging Face hub, from there or a folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sgdscope.data.encoded import Encoded, Shaping
from sgdscope.data.images import Dataset, Images, arranged
from sgdscope.errors import RequestError, reason, unknown

if TYPE_CHECKING:
    import datasets


class Hub(Shaping):
    """Any set of images with labels that ``datasets`` can load, by its NAME or from a folder."""

    words = frozenset({"config", "image", "label", "train", "test", "validation"})

    config: str | None = None  # if the set has several
    image: str | None = None  # columns; None: the only one of its kind
    label: str | None = None
    train: str = "train"  # splits
    test: str = "test"
    validation: str | None = None  # None: a tenth of the training images is held out

    def load(self, path: str) -> Dataset:
        """Find columns and splits, decode.

        Raises:
            RequestError: the set is not available, or a column or split is missing or ambiguous.
        """
        sets = _loaded(path, self.config)
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        parts = {part: name for part, name in splits.items() if name is not None}
        for part, name in parts.items():
            if name not in sets:
                raise RequestError(
                    f"{unknown('split', name, sets)}; choose another with ?{part}=SPLIT"
                )
        image, label = self._columns(sets[self.train].features)
        encoded = {
            part: _encoded(sets[name], image, f"{path}, {name}") for part, name in parts.items()
        }
        stamp = [image, *(sets[name]._fingerprint for name in parts.values())]
        tensors = self.tensors(encoded, name=path, stamp=stamp)
        labels, classes = _labels({p: sets[name] for p, name in parts.items()}, label)
        images = {part: Images(tensors[part], labels[part]) for part in parts}
        return arranged(
            images["train"], images["test"], validation=images.get("validation"), classes=classes
        )

    def _columns(self, features: datasets.Features) -> tuple[str, str]:
        import datasets

        chosen = []
        for key, kind, also in (
            ("image", datasets.Image, ()), ("label", datasets.ClassLabel, ("label", "labels")),
        ):  # fmt: skip
            given: str | None = getattr(self, key)
            found = [name for name, feature in features.items() if isinstance(feature, kind)]
            found = found or [name for name in also if name in features]
            if given is not None and given not in features:
                raise unknown("column", given, features)
            if given is None and len(found) != 1:
                raise RequestError(
                    f"{len(found) or 'no'} columns of {key}s among {', '.join(features)}"
                    f"{' (' + ', '.join(found) + ')' if found else ''}; expected one, or its name: "
                    f"?{key}=COLUMN"
                )
            chosen.append(given or found[0])
        return chosen[0], chosen[1]


def _loaded(path: str, config: str | None) -> Any:
    import datasets

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # retries are its own affair
    try:
        saved = (Path(path) / "dataset_dict.json").is_file()  # by its own save_to_disk
        sets = datasets.load_from_disk(path) if saved else datasets.load_dataset(path, config)
    except Exception as error:  # whatever the hub, the network or the files say
        raise RequestError(
            f"datasets cannot load {path}: {reason(error)}; expected a data set "
            "on a hub that can be reached, or a folder that holds one"
        ) from error
    return sets


def _encoded(rows: datasets.Dataset, column: str, where: str) -> list[Encoded]:
    import datasets

    cells = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    found = []
    for i, row in enumerate(cells):
        cell = row[column]
        if cell is None:
            raise RequestError(f"{where}: image {i} is empty; expected one in every row")
        content = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"])
        found.append(Encoded(f"{where}: image {i}", content))
    return found


def _labels(parts: dict[str, datasets.Dataset], column: str) -> tuple[dict[str, Tensor], int]:
    """Labels of each part as numbers from 0, and the number of classes.

    A label is known by its name: the same name may have another number in each part.
    """
    called = {part: _called(rows, column) for part, rows in parts.items()}
    known = getattr(parts["train"].features[column], "names", None) or sorted(set(called["train"]))
    place = {value: number for number, value in enumerate(known)}
    for part, own in called.items():
        if strange := [value for value in own if value not in place]:
            raise RequestError(
                f"label {strange[0]!r} is in {part}, not among the classes of train; expected the "
                "same in both"
            )
    return {part: torch.tensor([place[v] for v in own]) for part, own in called.items()}, len(known)


def _called(rows: datasets.Dataset, column: str) -> list[Any]:
    """The labels of a part by name if its classes have names; -1, of no class, stays a number."""
    names: list[str] | None = getattr(rows.features[column], "names", None)
    values = list(rows[column])
    return values if names is None else [names[v] if v in range(len(names)) else v for v in values]
