"""What the documents point at is there, and what they show is valid."""

import ast
import doctest
import importlib
import json
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
import synthetic
import torch
from typer.testing import CliRunner

from docs.tables import benchmarks
from docs.tables.__main__ import MARKER, PAGES, page
from docs.tables.keep import keep
from docs.tables.kept import kept
from sgdscope import claims, registry
from sgdscope.claims.verdicts import BENT, SIGNS, SMALL
from sgdscope.cli import app
from sgdscope.commands.study_folder import verdicts_page
from sgdscope.parts import CLAIMS, METHODS, OPTIMIZERS, SCHEDULES
from sgdscope.results.tables import Results
from sgdscope.study.plugins import Plugin
from sgdscope.study.study import Study
from sgdscope.training.loop import Training

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), target


def test_the_readmes_study_is_valid():
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    study = Study.parse(tomllib.loads(block) | {"name": "readme"})
    assert len(study.runs) == 3 * 3 * 3


def test_what_a_registry_shows_is_so():
    found = doctest.testmod(registry)
    assert found.attempted
    assert not found.failed


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning's, of newer torch
@pytest.mark.parametrize("name", ["audit", "watch"])
def test_what_a_tutorial_shows_can_be_typed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict = {}
    done = 0
    text = (ROOT / "docs" / f"{name}.md").read_text()
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if kind == "python" and (file := re.match(r"# (\w+\.py)\n", block)):
            (tmp_path / file[1]).write_text(block)
        elif kind == "python":
            exec(compile(block, name, "exec"), names)
            done += 1
        for line in block.splitlines() if not kind else []:
            if line.startswith("sgdscope "):
                answer = CliRunner().invoke(app, shlex.split(line)[1:])
                assert answer.exit_code == 0, answer.output
                done += 1
    assert done > 1


def test_your_own_network_and_images_lead_to_a_page_as_the_document_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = (ROOT / "docs" / "networks-and-data.md").read_text()
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    assert [kind for kind, _ in blocks] == ["python", "python", "sh", "python", "toml"]
    for kind, block in blocks:
        if kind == "python":
            Path(block.split()[1]).write_text(block)
    for line in blocks[2][1].splitlines():
        program, *words = shlex.split(line)
        if program == "python":
            runpy.run_path(*words)
            continue
        inline = ["--engine", "inline"] if words[0] == "run" else []
        done = CliRunner().invoke(app, [*words, *inline])
        assert done.exit_code == 0, done.output
    found = Results.load("out")
    assert found.runs["model"].unique().tolist() == ["nets.py:Vit"]
    assert {"test_accuracy", "top_eigenvalue"} <= set(found.table["measure"])
    assert (tmp_path / "out" / "report.html").is_file()
    study = Study.parse(tomllib.loads(blocks[4][1]) | {"name": "block"})
    assert [run.train_size for run in study.runs] == [135, 180]


def test_the_tutorial_ends_in_the_verdicts_that_it_tells_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tutorial.md").read_text()
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        if file := re.match(r"# (?:added to )?(\w+\.\w+)\n", block):
            with Path(file[1]).open("a") as written:
                written.write(block)
        elif kind == "python":
            exec(compile(block, "tutorial", "exec"), {})
        else:
            for line in block.splitlines():
                words = shlex.split(line)
                inline = ["--engine", "inline"] if words[1] == "run" else []
                done = CliRunner().invoke(app, [*words[1:], *inline])
                assert done.exit_code == 0, done.output
    found = {
        (verdict["claim"], verdict["when"]): verdict
        for verdict in json.loads(Path("lag/claims.json").read_text())
    }
    for when in ("end of training", "equal training loss"):
        verdict = found["large-batches-lag", when]
        assert f"| {when} | {verdict['verdict']} | " in text
        assert "(stated before the first result)" in verdict["statement"]
    robust = found["large-batches-are-fragile", "end of training"]
    assert "(added later)" in robust["statement"]
    assert not Results.load("lag").table["flags"].any()


@pytest.mark.parametrize(
    "module", ["sgdscope", "sgdscope.attacks", "sgdscope.curvature", "sgdscope.parts"]
)
def test_the_reference_has_every_public_name(module):
    text = (ROOT / "docs" / "reference.md").read_text()
    for name in importlib.import_module(module).__all__:
        if not name.startswith("__"):
            assert re.search(rf"^::: sgdscope(\.\w+)?\.{name}$", text, re.MULTILINE), name


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (ROOT / "docs" / "knobs.md").read_text(), re.DOTALL)


def test_the_studies_of_the_page_on_knobs_are_valid():
    counts = [
        len(Study.parse(tomllib.loads(block) | {"name": "knobs"}).runs) for block in blocks("toml")
    ]
    assert counts == [2 * 3 * 3 * 2, 1]


def test_parts_of_the_page_on_knobs_train(tmp_path, make_run, small):
    (block,) = blocks("python")
    (tmp_path / "mine.py").write_text(block)
    Plugin.read(tmp_path / "mine.py").load()
    options = {"schedule": "inverse-root", "schedule_options": {}, "method": "confidence-penalty"}
    training = Training(make_run(**options, optimizer="signs"), small)
    training.advance()
    assert training.history[0].learning_rate == 0.1
    assert not training.diverged


@pytest.mark.parametrize("word", [*SIGNS, SMALL, BENT, "no information"])
def test_the_glossary_has_every_word_of_a_verdict(word):
    assert re.search(
        rf"^\| {word} \| . \| ", (ROOT / "docs" / "claims.md").read_text(), re.MULTILINE
    )


def test_the_page_on_knobs_names_every_schedule_and_method():
    text = (ROOT / "docs" / "knobs.md").read_text()
    for name in (*SCHEDULES, *METHODS, *OPTIMIZERS):
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("page", ["attacks", "curvature"])
def test_what_a_page_shows_of_the_library_runs(page, tmp_path):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 4)).eval()
    names = {"model": model, "inputs": torch.rand(9, 1, 4, 4), "labels": torch.arange(9) % 4}
    text = (ROOT / "docs" / f"{page}.md").read_text()
    kinds = []
    for kind, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        kinds.append(kind)
        if kind == "toml":
            study = {"name": page, "model": "stdcnn", "data": "digits", "schedule": "fixed"}
            study |= {"batch_size": 32, "epochs": 1}
            assert Study.parse(study | tomllib.loads(block)).measures
        elif "@" in block:
            (tmp_path / "mine.py").write_text(block)
            Plugin.read(tmp_path / "mine.py").load()
        else:
            exec(compile(block, page, "exec"), names)
    assert {"python", "toml"} <= set(kinds)


@pytest.mark.parametrize(
    ("page", "registry", "name"),
    [("docs/claims.md", CLAIMS, "mine"), ("CONTRIBUTING.md", SCHEDULES, "halving")],
)
def test_parts_that_a_page_shows_are_registered(page, registry, name, tmp_path):
    shown = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (block,) = [one for one in shown if f'.add("{name}")' in one]
    (tmp_path / f"{name}.py").write_text(block)
    Plugin.read(tmp_path / f"{name}.py").load()
    assert name in registry


def test_parts_take_as_many_lines_as_the_page_says():
    text = (ROOT / "docs" / "knobs.md").read_text()
    (block,) = re.findall(r"## Adding one.*?```python\n(.*?)```", text, re.DOTALL)
    parts = [one for one in ast.parse(block).body if isinstance(one, ast.ClassDef)]
    lines = [
        sum(bool(line.strip()) for line in block.splitlines()[one.lineno - 2 : one.end_lineno])
        for one in parts
    ]
    said = re.search(r"A schedule takes (\d+)\s+lines, an optimizer (\d+), a method (\d+)", text)
    assert lines == [int(number) for number in said.groups()]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_every_table_is_what_the_kept_results_say(file):
    text = file.read_text()
    assert len(MARKER.findall(text)) > 5
    assert page(text) == text


NUMBER = re.compile(r"\d+(?:\.\d+)?")


@pytest.mark.parametrize("name", kept())
def test_the_kept_verdicts_are_those_of_the_runs(name):
    own = kept()[name]
    written, now = own.page.read_text(), verdicts_page(own.judged)
    assert NUMBER.sub("#", now) == NUMBER.sub("#", written)
    found = [list(map(float, NUMBER.findall(page))) for page in (now, written)]
    # Another processor may round the last printed digit otherwise.
    assert found[0] == pytest.approx(found[1], rel=0.05, abs=0.011)


@pytest.mark.parametrize("file", benchmarks.PAGES, ids=lambda file: file.name)
def test_every_table_of_a_benchmark_is_what_it_found_last(file):
    text = file.read_text()
    assert benchmarks.MARKER.search(text)
    assert benchmarks.page(text) == text


def test_kept_runs_are_the_finished_ones_and_give_the_same_verdicts(tmp_path):
    made = synthetic.study(tmp_path / "made")
    finished = [one for one in made.results() if one.status not in ("failed", "unfinished")]
    assert 0 < len(finished) < len(made.results())
    assert keep(made.path, tmp_path / "kept") == len(finished)
    again = Results.load(tmp_path / "kept")
    assert len(again.runs) == len(finished)
    judged, before = claims.judge(again), claims.judge(Results.collect(finished))
    assert [(v.statement, v.when, v.verdict) for v in judged] == [
        (v.statement, v.when, v.verdict) for v in before
    ]
    for one, other in zip(judged, before, strict=True):
        for now, then in ((one.value, other.value), (one.low, other.low), (one.high, other.high)):
            assert now == (None if then is None else pytest.approx(then, rel=1e-5, abs=1e-7))
