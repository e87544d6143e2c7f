"""A first study file: a network, data and a question become a grid and its measures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from sgdscope import data as datasets
from sgdscope import references
from sgdscope.data import Dataset
from sgdscope.errors import RequestError
from sgdscope.study import names
from sgdscope.study.plugins import Plugin

# What a question may be about: words in it, and the measures that answer it.
MEASURES = {
    "robustness": "pgd_accuracy",
    "curvature": "top_eigenvalue",
    "generalisation": "test_accuracy",
}
_SAID = {
    "robustness": "Accuracy under attack",
    "curvature": "λ₁",
    "generalisation": "Test accuracy",
}
# The expected effect of each knob on each subject: the hypothesis that a new study begins with.
EXPECTED = {
    "batch size": {"robustness": "falls", "curvature": "rises", "generalisation": "falls"},
    "learning rate": {"robustness": "rises", "curvature": "falls", "generalisation": "rises"},
    "momentum": {"robustness": "rises", "curvature": "falls", "generalisation": "rises"},
    "weight decay": {"robustness": "rises", "curvature": "falls", "generalisation": "rises"},
}
KNOBS = tuple(EXPECTED)
QUESTION = "batch size and robustness"
_WORDS = {
    "robust": "robustness",
    "curv": "curvature",
    "sharp": "curvature",
    "general": "generalisation",
}
_UPDATES = 8  # at least this many in an epoch at the largest batch size, if the data allow it
_ALL_UPDATES = 400  # of a run at the middle batch size


def question(text: str) -> tuple[str, list[str]]:
    """The knob that a question is about, and the subjects to measure along it.

    >>> question("Learning rate and curvature")
    ('learning rate', ['curvature'])

    Raises:
        RequestError: it names no knob, or more than one.
    """
    said = text.lower().replace("_", " ").replace("-", " ")
    knobs = [knob for knob in KNOBS if knob in said]
    if len(knobs) != 1:
        raise RequestError(
            f"question {text!r}: names {' and '.join(knobs) or 'no knob'}; expected one of "
            f"{', '.join(KNOBS)}, with any of {', '.join(MEASURES)}, as {QUESTION!r}"
        )
    seen = dict.fromkeys(subject for word, subject in _WORDS.items() if word in said)
    return knobs[0], list(seen) or ["generalisation"]


def text(*, model: str, data: str, asked: str, home: Path) -> str:
    """A study file with comments.

    Args:
        model: the network's name.
        data: the data set's.
        asked: the question.
        home: the folder that the file will be in.

    Raises:
        RequestError: the question names no knob, or the data, which determine suitable batch sizes,
            durations and radii, are not available.
    """
    knob, seen = question(asked)
    images = _images(data, home)
    sizes = batch_sizes(len(images.train))
    per_epoch = len(images.train) // sizes[1]
    values = {
        "batch_size": sizes if knob == "batch size" else sizes[1],
        "learning_rate": [0.01, 0.03, 0.1] if knob == "learning rate" else 0.03,
        "momentum": [0.0, 0.5, 0.9] if knob == "momentum" else 0.9,
        "weight_decay": [0.0, 0.0005, 0.005] if knob == "weight decay" else 0.0,
    }
    lines = [
        f"# {asked[:1].upper()}{asked[1:]}? Every list is an axis; every combination is a run.",
        f"model = {json.dumps(model, ensure_ascii=False)}",  # TOML has no surrogate pairs
        f"data = {json.dumps(data, ensure_ascii=False)}",
        f"batch_size = {values['batch_size']}",
        "seed = [0, 1, 2]              # intervals are over seeds",
        f"epochs = {max(2, -(-_ALL_UPDATES // per_epoch))}",
        f"axis = {json.dumps(knob.replace(' ', '_'))}".ljust(30) + "# figures are drawn along it",
        "",
        "[schedule.fixed]              # the same learning rate for every batch size and epoch",
        f"learning_rate = {values['learning_rate']}",
        "",
        "[optimizer.sgd]",
        f"momentum = {values['momentum']}",
        f"weight_decay = {values['weight_decay']}",
        "",
        "[measure.train_loss]          # progress: differences mean little where it is unequal",
        "[measure.test_accuracy]",
        *_measured(seen, channels=images.shape[0]),
        *_expected(knob, seen),
    ]
    return "\n".join(lines) + "\n"


def _images(data: str, home: Path) -> Dataset:
    found = names.located({"data": data}, homes=[home, Path()])
    for file in found.get("plugins", []):
        Plugin.read(Path(file)).load()
    references.settle(names.described(found))
    return datasets.load(found["data"])


def batch_sizes(images: int) -> list[int]:
    """Three sizes, each four times the one before, or twice if there are few images.

    >>> batch_sizes(50_000), batch_sizes(135)
    ([64, 256, 1024], [4, 8, 16])
    """
    largest = 1 << max(2, min(10, (images // _UPDATES).bit_length() - 1))
    step = 4 if largest >= 64 else 2
    return [largest // step**2, largest // step, largest]


def _expected(knob: str, seen: list[str]) -> list[str]:
    """A claim about each subject; the user can reverse it before the first run."""
    lines = [
        "",
        "# What is expected, stated before the first result: falls_with, rises_with or unmoved_by.",
        "# The page and `sgdscope claims` say of each whether it holds, with an interval.",
    ]
    for subject in seen:
        course = EXPECTED[knob][subject]
        lines += [
            f"[claim.{knob.replace(' ', '-')}-and-{subject}]",
            f'says = "{_SAID[subject]} {course} with {knob}"',
            f'measure = "{MEASURES[subject]}"',
            f'{course}_with = "{knob.replace(" ", "_")}"',
            "",
        ]
    return lines[:-1]


def _measured(seen: list[str], *, channels: int) -> list[str]:
    """The tables of measures beside accuracy."""
    eps = "[0.05, 0.1]" if channels == 1 else '["2/255", "8/255"]'
    tables: Mapping[str, list[str]] = {
        "robustness": [f"eps = {eps}".ljust(30) + "# in pixels of [0, 1]"],
        "curvature": [
            "examples = 500".ljust(30) + "# training images that the loss is a mean over"
        ],
    }
    return [
        line
        for subject in seen
        if subject in tables
        for line in ("", f"[measure.{MEASURES[subject]}]", *tables[subject])
    ]
