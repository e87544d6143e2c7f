"""Auditing networks: check each, take the missing measures, save every result at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from sgdscope.auditing.checks import check_network
from sgdscope.auditing.comparison import Comparison, compare
from sgdscope.auditing.folder import AuditFolder
from sgdscope.auditing.measures import chosen_measures
from sgdscope.auditing.networks import Opened, open_network
from sgdscope.auditing.seeds import SeedComparison, compare_seeds, pairs
from sgdscope.auditing.table import table
from sgdscope.data.inference import logits
from sgdscope.errors import RequestError
from sgdscope.execution.driver import choose_device, choose_engine
from sgdscope.execution.recorder import Recorder, collapsed
from sgdscope.files import write_atomically, write_text
from sgdscope.measuring import Measure, Subject
from sgdscope.network import answers
from sgdscope.results.record import Audited, Status


class Watcher(Protocol):
    """An observer of an audit's progress."""

    def begin(self, measures: int) -> None:
        """Called once, with the number of measures to take on all networks."""

    def looked(self, audited: Audited) -> None:
        """Called with the findings about a network, before it is measured."""

    def taking(self, network: str, measure: str) -> None:
        """Called before a measure is taken."""

    def took(self, network: str, measure: str) -> None:
        """Called after a measure was taken, or found to be done."""


@dataclass(frozen=True)
class Audit:
    """The results of an audit, and how its networks differ on the same points."""

    networks: list[Audited]
    folder: AuditFolder

    @property
    def table(self) -> pd.DataFrame:
        """One row per network and measurement."""
        return table(self.networks)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every other network against the first, or the first of its seed, measure by measure."""
        return compare(pairs(self.networks), self.folder)

    @cached_property
    def over_seeds(self) -> list[SeedComparison]:
        """Networks named by their seeds, ``NAME:SEED``, against the first of them."""
        return compare_seeds(self.networks)

    def require_results(self) -> None:
        """Check that there is something to show.

        Raises:
            RequestError: it was stopped before the first number.
        """
        if not self.networks:
            raise RequestError(
                f"{self.folder.path}: nothing was measured yet; expected an audit that has been run"
            )

    def record(self) -> dict[str, Any]:
        """Everything but arrays, for other programs."""
        return {
            "networks": [one.model_dump(mode="json") for one in self.networks],
            "comparisons": [one.record() for one in self.comparisons],
            "over_seeds": [one.record() for one in self.over_seeds],
        }

    @classmethod
    def load(cls, folder: str | Path) -> Audit:
        """Read an audit's folder.

        Raises:
            RequestError: it holds no audit.
        """
        home = AuditFolder(folder)
        order = [given["id"] for given in home.settings().get("networks", [])]
        found = {one.id: one for one in home.every()}
        return cls([found[network] for network in order if network in found], home)


def audit(
    networks: str | Sequence[str],
    *,
    data: str | None = None,
    out: str | Path,
    measures: Mapping[str, Measure] | None = None,
    split: str = "test",
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Audit:
    """Check networks and take the measures that are missing; every result is saved at once.

    Args:
        networks: as on the command line, such as ``"net.py:build@net.safetensors"``.
        data: the name of the data set; None if each network is a study's run with its own data.
        out: the folder for the results; those already in it are kept.
        measures: those to take, by name; None for ``chosen_measures()``.
        split: the images to measure on: test, validation or train.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
        watcher: observes the progress.

    Raises:
        RequestError: a network, the data, the device or the folder cannot be used.
    """
    sources = [networks] if isinstance(networks, str) else list(networks)
    wanted = chosen_measures() if measures is None else dict(measures)
    place = choose_device(device, choose_engine("inline", workers=1))
    opened = [open_network(one, data=data, split=split) for one in sources]
    _check(opened)
    folder = AuditFolder(out)
    with folder.locked():
        folder.prepare(_settings(opened, wanted))
        if watcher is not None:
            watcher.begin(len(opened) * len(wanted))
        try:
            for one in opened:
                _Auditing(one.to(place), folder, watcher).carry_out(wanted)
        finally:  # also of what was measured before an interruption
            save_tables(Audit.load(out))
    ids = [one.network.id for one in opened]
    asked = [one for one in Audit.load(out).networks if one.id in ids]
    return Audit(sorted(asked, key=lambda one: ids.index(one.id)), folder)


def save_tables(result: Audit) -> None:
    """Write the tables and ``audit.json``; they are derived and may be deleted."""
    folder, rows = result.folder, result.table
    write_atomically(folder.csv, lambda aside: rows.to_csv(aside, index=False))
    write_atomically(folder.parquet, lambda aside: rows.to_parquet(aside, index=False))
    write_text(folder.json, json.dumps(result.record(), indent=1, ensure_ascii=False) + "\n")


def _check(opened: Sequence[Opened]) -> None:
    """Check that networks are different, have different names, and see the same images."""
    if not opened:
        raise RequestError("no network; expected at least one")
    first = opened[0].network
    seen: dict[str, str] = {}
    for one in opened:
        network = one.network
        if network.data != first.data:
            raise RequestError(
                f"{network.source} would be measured on {network.data}, {first.source} on "
                f"{first.data}; "
                "expected one data set for all (--data), since networks are compared on the "
                "same points"
            )
        for what, key in (
            ("have the same name", network.name),
            ("are the same network", network.id),
        ):
            if key in seen:
                raise RequestError(
                    f"{seen[key]} and {network.source} {what}, {key}; expected different ones, "
                    "such as NAME=NETWORK"
                )
            seen[key] = network.source


def _settings(opened: Sequence[Opened], measures: Mapping[str, Measure]) -> dict[str, Any]:
    first = opened[0].network
    return {
        "data": first.data,
        "split": first.split,
        "networks": [
            {"id": one.network.id, "name": one.network.name, "source": one.network.source}
            for one in opened
        ],
        "measure": {
            name: measure.model_dump(exclude_defaults=True) for name, measure in measures.items()
        },
    }


class _Auditing:
    """One network being audited."""

    def __init__(self, opened: Opened, folder: AuditFolder, watcher: Watcher | None) -> None:
        self.opened, self.folder, self.watcher = opened, folder, watcher
        network = opened.network
        self.subject = Subject(opened.model, opened.data, network.seed, network.batch_size)
        self.prior = folder.audited(network.id)

    def carry_out(self, measures: Mapping[str, Measure]) -> None:
        """Check the network, unless that was done; take the missing measures, saving each one."""
        prior, network = self.prior, self.opened.network
        arrays = None if prior is None else self.folder.tensors(prior)
        if prior is None or arrays is None:
            prior = Audited(
                network=network, status="unfinished", findings=check_network(self.subject)
            )
            arrays = {}
        missing = {
            name
            for name, measure in measures.items()
            if not measure.taken_with(prior.measured.get(name), name)
        }
        prior = prior.without(missing).model_copy(update={"network": network})
        if self.watcher is not None:
            self.watcher.looked(prior)
        if refused := [str(one) for one in prior.findings if one.level == "refuse"]:
            failed = prior.model_copy(update={"status": "failed", "error": refused[0]})
            self.folder.save(failed, None)
            return
        recorder = Recorder(network.seed, prior, arrays)
        with _threads(self.opened):
            for name, measure in measures.items():
                if self.watcher is not None:
                    self.watcher.taking(network.name, name)
                if name in missing:
                    self._take(recorder, name, measure)
                    prior = self._keep(prior, recorder, "unfinished")
                if self.watcher is not None:
                    self.watcher.took(network.name, name)
            status = self._status(recorder)
        self._keep(prior, recorder, status)

    def _status(self, recorder: Recorder) -> Status:
        """How the network stands; one that fails on all test images has said so by now, or does."""
        try:
            return "collapsed" if collapsed(self.subject) else "done"
        except RequestError as error:
            if not recorder.errors:
                recorder.errors.append(str(error))
            return "done"

    def _take(self, recorder: Recorder, name: str, measure: Measure) -> None:
        epoch = self.opened.network.epoch
        recorder.finish(name, measure, self.subject, epoch=epoch)
        if name == "test_accuracy" and name in recorder.measured:
            images = self.subject.data.test
            right = answers(logits(self.subject.model, images)) == images.labels
            recorder.arrays[f"{name}/{epoch}/right"] = right.cpu()

    def _keep(self, prior: Audited, recorder: Recorder, status: Status) -> Audited:
        fields = recorder.fields(self.subject.data)
        kept = prior.model_copy(update={**fields, "status": status})
        self.folder.save(kept, recorder.saved_arrays())
        return kept


@contextmanager
def _threads(opened: Opened) -> Iterator[None]:
    """Measure a study's network with one thread, like its study: sums round alike."""
    before = torch.get_num_threads()
    if opened.run is not None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
