"""What is written to a logger is read back from it by its own client."""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sgdscope import Watch
from sgdscope.cli import app
from sgdscope.errors import RequestError
from sgdscope.report import loggers
from sgdscope.results.tables import Results
from tests.test_watch import SETTINGS, train

pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours


@pytest.fixture
def results(small, tmp_path) -> Results:
    """Of a training of two epochs, watched."""
    measures = {"test_accuracy": {}, "pgd_accuracy": {"eps": [0.1], "examples": 10, "steps": 2}}
    watch = Watch(
        out=tmp_path / "out", data=small, measures=measures, settings=SETTINGS, budget=None
    )
    train(small, watch, epochs=2)
    return Results.load(tmp_path / "out")


def expected(results: Results) -> dict[tuple[str, int], float]:
    rows = results.table.to_dict("records")
    found = {
        (r["measure"] if math.isnan(r["eps"]) else f"{r['measure']}/eps {r['eps']:g}", r["epoch"]):
        r["value"] for r in rows
    }  # fmt: skip
    history = results.history.to_dict("records")
    return found | {("training/train_loss", r["epoch"]): r["train_loss"] for r in history}


def test_what_is_logged_is_every_number_with_its_epoch(results):
    (one,) = loggers.of_study(results)
    told = {(name, epoch): value for name, epoch, value in one.numbers}
    assert expected(results).items() <= told.items()
    assert one.settings["batch_size"] == 32


def test_tensorboard_reads_back_what_was_written(results, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # again, without a double
        answer = CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--log", "tensorboard"])
        assert answer.exit_code == 0, answer.output
    (home,) = (tmp_path / "out" / "tensorboard").iterdir()
    events = EventAccumulator(str(home)).Reload()
    for (name, epoch), value in expected(results).items():
        (told,) = [one.value for one in events.Scalars(name) if one.step == epoch]
        assert told == pytest.approx(value, rel=1e-6)


def test_mlflow_reads_back_what_was_written(results, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path}/mlruns")
    networks = list(loggers.of_study(results))
    for _ in range(2):
        loggers.write("mlflow", iter(networks), folder=tmp_path, project="mine")
    (run,) = mlflow.search_runs(experiment_names=["mine"], output_format="list")
    client = mlflow.MlflowClient()
    for (name, epoch), value in expected(results).items():
        told = client.get_metric_history(run.info.run_id, name)
        assert [one.value for one in told if one.step == epoch] == [pytest.approx(value)]
    assert run.data.params["batch_size"] == "32"


def records(content: bytes) -> Iterator[bytes]:
    """Of a file in LevelDB's log format: blocks of parts, each with checksum, length and kind."""
    place, whole = 7, b""
    while place + 7 <= len(content):
        if place % 32768 > 32768 - 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def test_wandb_reads_back_what_was_written_offline(results, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    loggers.write("wandb", loggers.of_study(results), folder=tmp_path, project="mine")
    (file,) = Path(tmp_path / "wandb").glob("offline-run-*/*.wandb")
    told = {}
    for content in records(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        items = record.history.item
        values = {(i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in items}
        told |= {(k, values["_step"]): v for k, v in values.items() if not k.startswith("_")}
    for key, value in expected(results).items():
        assert told[key] == pytest.approx(value)


def test_a_logger_that_is_not_there_is_one_clear_message(results, tmp_path, monkeypatch):
    answer = CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--log", "tensorbord"])
    assert answer.exit_code == 2
    assert "did you mean 'tensorboard'" in answer.stderr.replace("\n", " ")

    def lacking(*_):
        raise ImportError("No module named 'wandb'")

    monkeypatch.setitem(loggers.LOGGERS, "wandb", lacking)
    with pytest.raises(RequestError, match="expected it to be installed"):
        loggers.write("wandb", iter(()), folder=tmp_path, project="mine")
