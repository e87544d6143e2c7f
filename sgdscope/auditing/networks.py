"""Networks as users name them: a function with weights, an exported program, a study's run."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import nn

from sgdscope import data as datasets
from sgdscope import models, references
from sgdscope.auditing.weights import fingerprint, load_weights, read_weights
from sgdscope.data import DATA, Dataset
from sgdscope.errors import RequestError, reason
from sgdscope.models import MODELS
from sgdscope.models.pretrained import pretrained
from sgdscope.network.requirements import in_training
from sgdscope.results.files import RESULT, WEIGHTS, digest
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import GivenNetwork, Result
from sgdscope.study import names
from sgdscope.study.plugins import Plugin
from sgdscope.study.study import Study
from sgdscope.training.loop import initialise

EXPECTED = (
    "NETWORK@WEIGHTS, where NETWORK is FILE.py:FUNCTION or another name that studies take, "
    "timm:NAME or transformers:FOLDER with their own weights, an exported FILE.pt2, or the folder "
    "of a study's run"
)
_NAMED = re.compile(r"([\w .-]+(?::\d+)?)=(.+)", re.DOTALL)  # NAME=… or NAME:SEED=…


@dataclass(frozen=True)
class Opened:
    """A network in evaluation mode, the data it is measured on, and its description."""

    model: nn.Module
    data: Dataset
    network: GivenNetwork
    run: Result | None = None  # of the study that trained it

    def to(self, device: str) -> Opened:
        """The same on another device."""
        place = torch.device(device)
        return replace(self, model=self.model.to(place), data=self.data.to(place))


def open_network(given: str, *, data: str | None, split: str = "test") -> Opened:
    """Find, build and load a network.

    Args:
        given: one of ``EXPECTED``, optionally after ``NAME=``.
        data: the data set's name; None for that of the run.
        split: the images to measure on: test, validation or train.

    Raises:
        RequestError: there is no such network, its file would execute code, or no data set is
            named.
    """
    name, source = _name_and_source(given)
    path = Path(source)
    if path.is_dir():
        opened = _of_run(path, data)
    elif data is None:
        raise RequestError(f"{source}: no data to measure it on; expected --data, such as digits")
    elif path.suffix == ".pt2":
        opened = _exported(path, data)
    else:
        opened = _built(source, data)
    network = opened.network.model_copy(
        update={"source": source, "split": split, "name": name or opened.network.name}
    )
    if any(in_training(opened.model)):
        opened.model.eval()
    return replace(opened, network=network, data=_with_split(opened.data, split))


def _name_and_source(given: str) -> tuple[str | None, str]:
    """What is before an equals sign and after it, unless that belongs to a path."""
    place = given.rpartition("@")[0] or given
    file = place.rpartition(":")[0] if ".py:" in place else place
    if "=" not in file or Path(file).exists():
        return None, given
    if (named := _NAMED.fullmatch(given)) is None:
        raise RequestError(
            f"{given}: expected NAME=NETWORK, where NAME is of letters, digits, spaces, '.', '-' "
            "and '_', or NAME:SEED"
        )
    return named[1], named[2]


def _with_split(data: Dataset, split: str) -> Dataset:
    if split not in ("test", "validation", "train"):
        raise RequestError(f"--split {split}: expected test, validation or train")
    return replace(data, test=getattr(data, split))


def _of_run(path: Path, data: str | None) -> Opened:
    """A run's network, set up as in its study."""
    home = StudyFolder(path.resolve().parent.parent)
    if not (path / RESULT).is_file() or not home.study_file.is_file():
        raise RequestError(
            f"{path}: not the folder of a study's run; expected one such as out/quick/runs/<id>"
        )
    home.load_plugins()
    study = Study.parse(home.settings(), where=str(home.study_file), kept=True)
    references.settle(study.every_source)
    result = home.result(path.resolve().name)
    if result is None:
        raise RequestError(f"{path / RESULT}: cannot be read")
    run = result.run
    chosen = run.data if data is None else _located(data=data)["data"]
    loaded = datasets.load(chosen)
    model = initialise(run, loaded)
    load_weights(model, path / WEIGHTS)
    if digest((path / WEIGHTS).read_bytes()) != result.digests.get(WEIGHTS):
        raise RequestError(
            f"{path / WEIGHTS}: not the weights that the run ended with; expected those with the "
            f"digest in {RESULT}"
        )
    own = loaded.subset(run.train_size) if chosen == run.data else loaded
    network = _described(
        model, run.id, chosen, made_by=run.model, seed=run.seed, epoch=len(result.history),
        train_size=run.train_size if chosen == run.data else None, batch_size=run.batch_size,
    )  # fmt: skip
    return Opened(model, own, network, result)


def _exported(file: Path, data: str) -> Opened:
    """A program that torch.export saved."""
    if not file.is_file():
        raise RequestError(f"{file}: no such file; expected {EXPECTED}")
    if not is_zipfile(file):
        raise RequestError(
            f"{file}: not an exported program; expected what torch.export.save wrote"
        )
    try:
        model = torch.export.load(file).module()
    except Exception as error:  # anything that torch raises on another kind of file
        raise RequestError(f"{file}: not an exported program: {reason(error)}") from error
    data = _located(data=data)["data"]
    program = digest(file.read_bytes())  # the graph is not part of the weights
    return Opened(model, datasets.load(data), _described(model, file.stem, data, program=program))


def _built(source: str, data: str) -> Opened:
    """A network by name, with weights from a file."""
    builder, at, weights = source.rpartition("@")
    if not at:
        builder, weights = weights, ""
        if Path(source).is_file():
            raise RequestError(
                f"{source}: weights alone do not make a network; expected {EXPECTED}"
            )
    if at and not weights:
        raise RequestError(f"{source}: nothing after '@'; expected a file of weights")
    if not weights and builder in MODELS:
        raise RequestError(f"{source}: a network without weights; expected {source}@WEIGHTS")
    located = _located(model=builder, data=data)
    loaded = datasets.load(located["data"])
    there = read_weights(Path(weights)) if weights else {}
    model: nn.Module | None = None
    try:
        if not weights:
            model = pretrained(located["model"], classes=loaded.classes)
        if model is None:
            model = models.build(
                located["model"], shape=loaded.shape, classes=loaded.classes, seed=0
            )
    except RequestError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's own function says
        raise RequestError(f"{source}: {reason(error)}") from error
    if not isinstance(model, nn.Module):
        raise RequestError(f"{source}: returns {type(model).__name__}; expected an nn.Module")
    if "normalise.mean" in there.keys() - model.state_dict().keys():  # of a study
        model = models.normalised(model, loaded.mean, loaded.std)
    if weights:
        load_weights(model, Path(weights))
    name = Path(weights or builder.rpartition(":")[2]).stem
    return Opened(model, loaded, _described(model, name, located["data"], made_by=located["model"]))


def _located(**settings: str) -> dict[str, str]:
    """The names of a network and data, resolved as in a study, with their code and content."""
    found = names.located(settings, homes=[Path()])
    for file in found.get("plugins", []):
        Plugin.read(Path(file)).load()
    names.described(found)
    return {key: found[key] for key in settings}


def _described(
    model: nn.Module, name: str, data: str, *, made_by: str = "", program: str = "", **known: Any
) -> GivenNetwork:
    """The description of a network: digests of its weights, its code and its data.

    Args:
        model: the network.
        name: what it is called.
        data: the data set's name.
        made_by: the model's name, if it was built by code.
        program: the digest of its file, if it is an exported program.
        known: of a study's run.
    """
    whole, shapes = fingerprint(model)
    code = {program, MODELS.code(made_by), references.code(made_by)}
    code |= {DATA.code(data), references.code(data)}
    content = references.source(data).digest if data not in DATA else None
    return GivenNetwork(
        name=name,
        source="",
        fingerprint=whole,
        architecture=shapes,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        code=" ".join(sorted(filter(None, code))) or None,
        content=content,
        data=data,
        **known,
    )
