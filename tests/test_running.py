"""A study from end to end, in worker processes, and what its folder is worth afterwards."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

import sgdscope
from sgdscope import data
from sgdscope.errors import RequestError
from sgdscope.execution import driver, local
from sgdscope.execution.driver import choose_device, missing
from sgdscope.execution.engine import Job, measures
from sgdscope.execution.local import LocalEngine
from sgdscope.execution.messages import Task
from sgdscope.execution.plan import plan
from sgdscope.execution.worker import execute_cohort
from sgdscope.results import known
from sgdscope.results.folder import StudyFolder
from sgdscope.results.record import Checkpoint, Outcome
from sgdscope.results.tables import Results
from sgdscope.study.study import Study

STUDY = """
name = "tiny"
model = "stdcnn"
data = "digits"
train_size = 96
batch_size = [16, 32]
seed = [0, 1]
epochs = 2
[schedule.fixed]
learning_rate = 0.05
[measure.test_accuracy]
[measure.fgsm_accuracy]
eps = [0.0, 0.1]
"""


@pytest.fixture
def study_file(tmp_path):
    file = tmp_path / "tiny.toml"
    file.write_text(STUDY)
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished study; tests work on copies of it."""
    home = tmp_path_factory.mktemp("study")
    (home / "tiny.toml").write_text(STUDY)
    sgdscope.run(Study.load(home / "tiny.toml"), out=home / "out", workers=2)
    return home / "out"


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


MACHINE = ("sgdscope", "torch", "numpy", "python", "system", "processor", "cores")


def contents(folder: Path) -> dict[str, bytes]:
    """Every run's files, without times and what else this process has imported."""
    files = {}
    for file in folder.glob("runs/*/*"):
        content = file.read_bytes()
        if file.name == "result.json":
            result = json.loads(content)
            del result["seconds"]
            result["environment"] = {key: result["environment"][key] for key in MACHINE}
            for epoch in result["history"]:
                del epoch["seconds"]
            content = json.dumps(result, sort_keys=True).encode()
        files[f"{file.parent.name}/{file.name}"] = content
    return files


def left(study: Study, path: Path) -> list[Task]:
    """What is left to do in a folder."""
    folder = StudyFolder(path)
    return missing(study, folder, folder.results())


class Inline:
    """An engine without processes, for what is about the folder alone."""

    device = "cpu"

    def execute(self, job, tasks):
        for plugin in job.plugins:
            plugin.load()
        for task in tasks:
            heard = []
            outcomes = list(
                execute_cohort(
                    [task], measures, data.load, tell=heard.append,
                    checkpoint_every=job.checkpoint_every,
                )
            )  # fmt: skip
            yield from [*heard, *outcomes]


@pytest.fixture
def inline(monkeypatch):
    """Runs are carried out in this process."""
    monkeypatch.setattr(driver, "choose_engine", lambda *_, **__: Inline())


class Watcher:
    """Remembers what it was told, and may raise after so many outcomes."""

    def __init__(self, stop_after: int | None = None):
        self.tasks, self.outcomes, self.stop_after = None, 0, stop_after

    def begin(self, tasks):
        self.tasks = tasks

    def tell(self, message):
        self.outcomes += isinstance(message, Outcome)
        if self.outcomes == self.stop_after:
            raise KeyboardInterrupt


def test_schedules_and_optimizers_by_import_path_reach_workers(tmp_path):
    text = STUDY.replace("[schedule.fixed]", '[schedule."torch.optim.lr_scheduler.LinearLR"]')
    (tmp_path / "own.toml").write_text(text + '[optimizer."torch.optim.RMSprop"]\n')
    study = Study.load(tmp_path / "own.toml", overrides={"seed": 0, "batch_size": 32})
    results = sgdscope.run(study, out=tmp_path / "out", workers=1)
    assert results.runs["reason"].isna().all()
    (kept,) = StudyFolder(tmp_path / "out").results()
    assert [epoch.learning_rate for epoch in kept.history] == [
        study.runs[0].rate(e) for e in (1, 2)
    ]


def test_a_study_leaves_a_tidy_folder(finished):
    assert {"study.toml", "results.csv", "results.parquet", "runs"} <= {
        file.name for file in finished.iterdir()
    }
    table = pd.read_csv(finished / "results.csv")
    columns = "run model data schedule batch_size learning_rate momentum epochs seed epoch measure"
    assert {*columns.split(), "eps", "value"} <= {*table.columns}
    assert len(table) == 4 * 3
    clean = table[(table["measure"] == "fgsm_accuracy") & (table["eps"] == 0)]
    test = table[table["measure"] == "test_accuracy"]
    assert clean["value"].tolist() == test["value"].tolist()
    parquet = pd.read_parquet(finished / "results.parquet")
    pd.testing.assert_frame_equal(parquet, Results.load(finished).table)


def test_running_again_does_nothing(folder, study_file):
    before, watcher = contents(folder), Watcher()
    sgdscope.run(Study.load(study_file), out=folder, watcher=watcher)
    assert watcher.tasks == []
    assert contents(folder) == before


def test_one_worker_gives_what_two_give(finished, study_file, tmp_path):
    sgdscope.run(Study.load(study_file), out=tmp_path / "alone", workers=1)
    assert contents(tmp_path / "alone") == contents(finished)


def test_a_stopped_study_goes_on_where_it_stood(finished, study_file, tmp_path):
    out = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        sgdscope.run(Study.load(study_file), out=out, workers=1, watcher=Watcher(stop_after=2))
    kept = contents(out)
    assert len(StudyFolder(out).results()) == 2
    sgdscope.run(Study.load(study_file), out=out, workers=2)
    assert contents(out) == contents(finished)
    assert kept.items() <= contents(out).items()


@pytest.mark.usefixtures("inline")
def test_only_what_is_missing_is_done(folder, study_file):
    more = Study.load(study_file, overrides={"seed": [0, 1, 2]})
    assert [task.run.seed for task in left(more, folder)] == [2, 2]
    measured = Study.load(study_file, overrides={"measure.train_loss": {}})
    tasks = left(measured, folder)
    assert len(tasks) == 4
    assert all(task.weights for task in tasks)
    before = contents(folder)
    sgdscope.run(measured, out=folder, workers=1)
    weights = {name: c for name, c in before.items() if name.endswith("weights.safetensors")}
    assert weights.items() <= contents(folder).items()
    assert len(Results.load(folder).at_end("train_loss")) == 4


@pytest.mark.usefixtures("inline")
def test_a_measure_with_other_options_is_taken_anew(folder, study_file):
    other = Study.load(study_file, overrides={"measure.fgsm_accuracy.eps": [0.2]})
    sgdscope.run(other, out=folder, workers=1)
    assert set(Results.load(folder).at_end("fgsm_accuracy")["eps"]) == {0.2}


@pytest.mark.usefixtures("inline")
def test_a_measure_taken_anew_leaves_the_others_alone(study_file, tmp_path):
    out = tmp_path / "out"
    keys = {"batch_size": 32, "seed": 0, "measure.test_accuracy.every": 1}
    sgdscope.run(Study.load(study_file, overrides=keys), out=out, workers=1)
    before = Results.load(out).table.query("measure == 'test_accuracy'")
    assert len(before) == 2
    (file,) = out.glob("runs/*/arrays.safetensors")
    names = set(load_file(file))
    more = keys | {"measure.spectral_density": {"probes": 2, "steps": 5, "examples": 60}}
    sgdscope.run(Study.load(study_file, overrides=more), out=out, workers=1)
    assert names < set(load_file(file))
    other = more | {"measure.fgsm_accuracy.eps": [0.2]}
    sgdscope.run(Study.load(study_file, overrides=other), out=out, workers=1)
    now = load_file(file)
    assert [name for name in now if name.startswith("fgsm")]
    assert not [name for name in now if name.startswith("fgsm_accuracy/0.1/")]
    assert [name for name in now if name.startswith("spectral_density")]
    after = Results.load(out).table.query("measure == 'test_accuracy'")
    assert after["value"].tolist() == before["value"].tolist()


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("name", ["result.json", "weights.safetensors"])
def test_a_damaged_file_is_set_aside_and_redone(folder, finished, study_file, caplog, name):
    study = Study.load(study_file)
    victim = StudyFolder(folder).run_file(study.runs[0].id, name)
    victim.write_bytes(victim.read_bytes()[:-200] + bytes(200))
    sgdscope.run(study, out=folder, workers=1)
    assert f"{victim.parent.name}/result.json is damaged" in caplog.text
    victim.with_name("result.json.damaged").unlink()
    assert contents(folder) == contents(finished)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The names of the files that were read, since the list was cleared."""
    names, read_bytes = [], Path.read_bytes

    def remember(self):
        names.append(self.name)
        return read_bytes(self)

    monkeypatch.setattr(Path, "read_bytes", remember)
    monkeypatch.setattr(known, "RECENT", 0)
    return names


@pytest.mark.usefixtures("inline")
def test_of_a_finished_study_each_result_is_read_once_and_no_weights(folder, study_file, read):
    study = Study.load(study_file)
    sgdscope.run(study, out=folder)
    assert read.count("weights.safetensors") == 4  # they are looked at once
    read.clear()
    sgdscope.run(study, out=folder)
    assert read.count("result.json") == 4
    assert not [name for name in read if name.endswith(".safetensors")]


@pytest.mark.usefixtures("inline", "read")
def test_weights_that_change_places_are_found_whatever_their_times(folder, study_file, caplog):
    study, home = Study.load(study_file), StudyFolder(folder)
    sgdscope.run(study, out=folder)
    one, other = (home.run_file(run.id, "weights.safetensors") for run in study.runs[:2])
    times, aside = one.stat(), one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    for file in (one, other):
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    tasks = left(study, folder)
    assert {task.run.id for task in tasks} == {run.id for run in study.runs[:2]}
    assert caplog.text.count("weights.safetensors was changed") == 2


def test_no_data_are_loaded_where_nothing_is_left_to_do(folder, study_file, monkeypatch):
    monkeypatch.setattr(driver, "check_parts", lambda _: pytest.fail("data were loaded"))
    assert len(sgdscope.run(Study.load(study_file), out=folder).runs) == 4


def test_tables_of_a_finished_study_are_written_again_where_a_result_is_newer(folder, study_file):
    study, home = Study.load(study_file), StudyFolder(folder)
    sgdscope.run(study, out=folder)
    before = home.csv.stat().st_mtime_ns
    sgdscope.run(study, out=folder)
    assert home.csv.stat().st_mtime_ns == before
    home.run_file(study.runs[0].id, "result.json").touch()
    sgdscope.run(study, out=folder)
    assert home.csv.stat().st_mtime_ns > before


def test_a_folder_without_its_weights_is_finished(folder, study_file):
    for name in ("weights.safetensors", "arrays.safetensors"):
        for file in folder.glob(f"runs/*/{name}"):
            file.unlink()
    assert left(Study.load(study_file), folder) == []
    measured = Study.load(study_file, overrides={"measure.train_loss": {}})
    tasks = left(measured, folder)
    assert [task.prior for task in tasks] == [None] * 4  # the networks are trained again


def test_a_folder_of_another_study_is_refused(folder, study_file):
    before = contents(folder)
    with pytest.raises(RequestError, match="belongs to study 'tiny'"):
        sgdscope.run(Study.load(study_file, overrides={"name": "other"}), out=folder)
    with pytest.raises(RequestError, match="holds 4 runs of 'tiny' with other settings"):
        sgdscope.run(Study.load(study_file, overrides={"epochs": 3}), out=folder)
    (folder / "study.toml").unlink()
    with pytest.raises(RequestError, match="holds other files"):
        sgdscope.run(Study.load(study_file), out=folder)
    assert contents(folder) == before


def test_an_unusable_folder_is_refused(study_file, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="a file; expected a folder"):
        sgdscope.run(Study.load(study_file), out=tmp_path / "file")
    monkeypatch.setattr(
        Path,
        "mkdir",
        lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
    )
    with pytest.raises(RequestError, match="Permission denied"):
        sgdscope.run(Study.load(study_file), out=tmp_path / "closed" / "out")


@pytest.mark.usefixtures("inline")
def test_a_run_goes_on_from_its_checkpoint(study_file, tmp_path):
    study = Study.load(study_file, overrides={"epochs": 6, "batch_size": 32, "seed": 0})

    class Stop(Watcher):
        def tell(self, message):
            if isinstance(message, Checkpoint):
                self.stop_after -= 1
            if self.stop_after == 0:
                raise KeyboardInterrupt

    cut, whole = tmp_path / "cut", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        sgdscope.run(study, out=cut, watcher=Stop(stop_after=3), checkpoint_every=0)
    (task,) = left(study, cut)
    assert task.checkpoint is not None
    sgdscope.run(study, out=cut)
    sgdscope.run(study, out=whole)
    assert contents(cut) == contents(whole)


def test_a_damaged_checkpoint_is_set_aside(study_file, tmp_path, caplog):
    study, folder = Study.load(study_file), StudyFolder(tmp_path / "out")
    run_id = study.runs[0].id
    folder.save_checkpoint(Checkpoint(run_id, b"some state"))
    assert folder.checkpoint(run_id) == b"some state"
    file = folder.run_file(run_id, "checkpoint")
    file.write_bytes(file.read_bytes()[:-1])
    assert folder.checkpoint(run_id) is None
    assert "checkpoint is damaged" in caplog.text


def test_two_processes_do_not_share_a_folder(folder, study_file):
    before = contents(folder)
    command = [sys.executable, "-m", "sgdscope", "run", str(study_file), "--out", str(folder)]
    with StudyFolder(folder).locked():
        second = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert second.returncode == 2
    assert f"--out {folder}: another sgdscope is running a study there" in second.stderr
    assert contents(folder) == before


@pytest.mark.usefixtures("inline")
def test_what_a_killed_process_left_half_written_goes(folder, study_file):
    name = ".result.json.999999999.tmp"
    victim = StudyFolder(folder).run_file(Study.load(study_file).runs[0].id, name)
    victim.write_text("half of")
    sgdscope.run(Study.load(study_file), out=folder)
    assert not victim.exists()


@pytest.mark.parametrize("step", ["_write_result", "_forget"])
def test_new_arrays_count_once_their_result_is_there(folder, study_file, monkeypatch, step):
    home, run_id = StudyFolder(folder), Study.load(study_file).runs[0].id
    result, files = home.trained(run_id)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(StudyFolder, step, killed)
        with pytest.raises(KeyboardInterrupt):
            home.save(Outcome(result, files["weights.safetensors"], b"new arrays"))
    _, there = home.trained(run_id)
    old = files["arrays.safetensors"]
    assert there["arrays.safetensors"] == (old if step == "_write_result" else b"new arrays")
    assert not home.run_file(run_id, "replaced.safetensors").exists()


@pytest.mark.usefixtures("inline")
def test_a_full_disk_stops_the_study_and_keeps_what_is_there(study_file, tmp_path, monkeypatch):
    out, replace, count = tmp_path / "out", Path.replace, []

    def full(self, target):
        if Path(target).name == "weights.safetensors":
            count.append(target)
            if len(count) > 2:
                raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RequestError, match="cannot be written: No space left on device"):
        sgdscope.run(Study.load(study_file), out=out, workers=1)
    assert len(StudyFolder(out).results()) == 2
    assert not [*out.rglob("*.tmp")]


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("name", ["own.py", "study.toml"])
def test_a_first_start_that_was_cut_off_can_be_made_again(study_file, tmp_path, monkeypatch, name):
    (tmp_path / "own.py").write_text("ONE = 1\n")
    plugins = {"plugins": [str(tmp_path / "own.py")], "seed": 0}
    study, out, replace = Study.load(study_file, overrides=plugins), tmp_path / "out", Path.replace

    def full(self, target):
        if Path(target).name == name:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(RequestError, match="cannot be written: No space left on device"):
            sgdscope.run(study, out=out, workers=1)
    assert not (out / "study.toml").exists()
    (tmp_path / "own.py").write_text("ONE = 2\n")
    sgdscope.run(Study.load(study_file, overrides=plugins), out=out, workers=1)
    assert Study.load(out / "study.toml").plugins == [str(out / "plugins" / "own.py")]
    assert (out / "plugins" / "own.py").read_text() == "ONE = 2\n"


DEADLY = '''
import os, signal
from pathlib import Path
from sgdscope.measuring import Measure, Reading
from sgdscope.measuring import MEASURES

@MEASURES.add("deadly")
class Deadly(Measure):
    """Kills its process: always for seed 1, the first time for seed 0."""

    mark: str

    def read(self, subject):
        mark = Path(self.mark)
        if subject.seed == 1 or not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [Reading("deadly", 1.0)]
'''


def test_a_worker_that_dies_is_replaced_and_its_run_tried_once_more(study_file, tmp_path):
    (tmp_path / "deadly.py").write_text(DEADLY)
    overrides = {
        "plugins": str(tmp_path / "deadly.py"),
        "batch_size": 32,
        "measure": ["deadly"],
        "measure.deadly.mark": str(tmp_path / "mark"),
    }
    study = Study.load(study_file, overrides=overrides)
    results = sgdscope.run(study, out=tmp_path / "out", workers=1)
    status = results.runs.set_index("seed")["status"].to_dict()
    assert status[0] != "failed" == status[1]
    assert "SIGKILL" in results.runs.set_index("seed").loc[1, "error"]
    again = Study.load(tmp_path / "out" / "study.toml")
    assert [task.run.seed for task in left(again, tmp_path / "out")] == [1]


def test_a_finished_run_outlives_a_deadly_measure(folder, finished, study_file, tmp_path):
    (tmp_path / "deadly.py").write_text(DEADLY)
    (tmp_path / "mark").touch()
    overrides = {
        "plugins": str(tmp_path / "deadly.py"),
        "measure.deadly.mark": str(tmp_path / "mark"),
    }
    study = Study.load(study_file, overrides=overrides)
    results = sgdscope.run(study, out=folder, workers=1)
    failed = results.runs["status"] == "failed"
    assert (failed == (results.runs["seed"] == 1)).all()
    for before in StudyFolder(finished).results():
        after = StudyFolder(folder).result(before.run.id)
        assert after.history == before.history
        assert after.measurements[: len(before.measurements)] == before.measurements
    shutil.rmtree(folder / "plugins")
    sgdscope.run(Study.load(study_file), out=folder, workers=1)
    assert not [r for r in StudyFolder(folder).results() if r.status == "failed"]


def test_a_worker_that_died_idle_costs_nothing(finished, study_file, tmp_path, monkeypatch):
    start, begun = local._start, []

    def stillborn(job, number):
        worker = start(job, number)
        if not begun:
            worker.process.kill()
            worker.process.join()
        begun.append(number)
        return worker

    monkeypatch.setattr(local, "_start", stillborn)
    sgdscope.run(Study.load(study_file), out=tmp_path / "out", workers=1)
    assert begun == [0, 0]
    assert contents(tmp_path / "out") == contents(finished)


def test_ctrl_c_stops_within_seconds_and_says_how_to_go_on(study_file, tmp_path):
    command = [sys.executable, "-m", "sgdscope", "run", str(study_file), "--out", "out"]
    command += ["--workers", "1", "--set", "epochs=100", "--set", "seed=0,1,2,3,4,5"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever ignores it here
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not [*tmp_path.glob("out/runs/*/result.json")] and time.monotonic() < deadline:
        time.sleep(0.1)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "every finished run is kept in out" in errors
    assert "Traceback" not in errors
    assert time.monotonic() - asked < 30
    assert StudyFolder(tmp_path / "out").results()


def test_cuda_without_one_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(RequestError, match="--device cuda: no CUDA device"):
        choose_device("cuda", LocalEngine())
    assert choose_device("auto", LocalEngine()) == "cpu"


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused(study_file, tmp_path, workers):
    study = Study.load(study_file)
    for do in (
        lambda: sgdscope.run(study, out=tmp_path / "out", workers=workers),
        lambda: plan(study, workers=workers),
    ):
        with pytest.raises(
            RequestError, match=f"workers = {workers}: expected at least 1, or None"
        ):
            do()
    assert not (tmp_path / "out").exists()


def test_no_more_workers_than_tasks_are_started(monkeypatch, make_run):
    started = []

    def count(job, number):
        started.append(number)
        raise KeyboardInterrupt

    monkeypatch.setattr("sgdscope.execution.local._start", count)
    engine, job = LocalEngine(workers=4), Job((), "cpu", 30.0)
    assert list(engine.execute(job, [])) == []
    assert started == []
    with pytest.raises(KeyboardInterrupt):
        list(engine.execute(job, [Task(make_run(), {})]))
    assert started == [0]
