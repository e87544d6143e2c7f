"""An audit's networks on a study's page: each number next to the range of the study's runs."""

import re
from dataclasses import replace
from html import unescape

import pytest
import synthetic
from typer.testing import CliRunner

from sgdscope.auditing import Audit
from sgdscope.auditing.folder import AuditFolder
from sgdscope.cli import app
from sgdscope.findings import Judged
from sgdscope.report import audit_page, beside, picture
from sgdscope.results.record import Audited, GivenNetwork, Measurement
from sgdscope.results.tables import Results

STEPS = {"pgd_accuracy": {"eps": [0.1], "steps": 40}}


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [*map(str, words)])


@pytest.fixture
def study(tmp_path):
    return synthetic.study(tmp_path / "study", lines=[("fixed", 0.0)], mishaps=False)


def audited(path, *, data="mnist", eps=(0.1,), measured=STEPS, results=True):
    """An audit's folder with one network."""
    folder = AuditFolder(path)
    network = GivenNetwork(
        name="<mine>", source="net.pt", fingerprint="f", architecture="a", parameters=10, data=data
    )
    path.mkdir()
    folder.prepare(
        {"data": data, "split": "test", "networks": [{"id": network.id, "name": "<mine>"}]}
    )
    rows = [Measurement(epoch=0, measure="pgd_accuracy", eps=one, value=0.4321) for one in eps]
    found = Audited(network=network, status="done", measured=measured, measurements=rows)
    if results:
        folder.save(found, None)
    return folder


def page_of(path) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", path.read_text()))


def test_an_audits_numbers_stand_beside_the_range_of_the_studys_runs(study, tmp_path, invoke):
    audited(tmp_path / "audit")
    told = invoke("report", "study", "audit")
    assert told.exit_code == 0, told.output
    assert "page: out/study+audit/report.html" in told.output
    page = (tmp_path / "out" / "study+audit" / "report.html").read_text()
    assert "<mine>" not in page
    (row,) = re.findall(r'<tr><th scope="row">PGD accuracy, eps 0\.1</th>.*?</tr>', page)
    ends = [
        row.value
        for one in study.results()
        for row in one.measurements
        if (row.measure, row.eps) == ("pgd_accuracy", 0.1)
    ]
    assert "<td>0.432</td>" in row
    assert f"<td>{min(ends):.3f} – {max(ends):.3f} <small>6 runs</small></td>" in row


def test_a_picture_by_eps_has_the_studys_lines_too(study, tmp_path):
    folder = audited(tmp_path / "audit", eps=[0.05, 0.1])
    part = beside.section(Audit.load(folder.path), Judged.open(study.path), number=1)
    keys = unescape(part.html.split('<p class="keys">')[1].split("</p>")[0])
    labels = re.findall(r"</i>(.*?)</span>", keys)
    sizes = sorted(Judged.open(study.path).view.axis.values)
    assert labels[0] == "<mine>"
    assert labels[1].endswith(f"batch size {sizes[0]:g}")
    assert labels[2].endswith(f"batch size {sizes[-1]:g}")
    colours = re.findall(r"--light:(#\w+)", keys)
    assert len(set(colours)) == len(colours) > 2


def test_the_studys_lines_are_there_where_its_data_have_their_full_names(tmp_path):
    """Two files called alike: a data set's label is then not its short name."""
    years = {"mnist": "npz:2019/set.npz", "fashion_mnist": "npz:2020/set.npz"}
    study = synthetic.study(tmp_path / "study", data=[*years], lines=[("fixed", 0.0)])
    results = Results.load(study.path)
    tables = {
        name: getattr(results, name).replace({"data": years})
        for name in ("table", "runs", "history")
    }
    judged = Judged(replace(results, **tables, folder=None))
    folder = audited(tmp_path / "audit", eps=[0.05, 0.1], data=years["mnist"])
    part = beside.section(Audit.load(folder.path), judged, number=1)
    assert part.html.count("batch size 1024") > 0


def test_a_measure_that_was_taken_otherwise_is_marked(study, tmp_path, invoke):
    audited(tmp_path / "audit", measured={"pgd_accuracy": {"eps": [0.1], "steps": 7}})
    assert invoke("report", "study", "audit", "--out", "both").exit_code == 0
    assert "0.432 ≠" in page_of(tmp_path / "both" / "report.html")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": "cifar10"}, "expected test images of mnist, as the study has"),
        ({"results": False}, "nothing was measured yet; expected an audit"),
    ],
)
def test_an_audit_that_cannot_be_compared_is_refused(settings, said, study, tmp_path, invoke):
    audited(tmp_path / "audit", **settings)
    told = invoke("report", "study", "audit")
    assert told.exit_code == 2
    assert said in " ".join(told.output.split())
    assert not (tmp_path / "out").exists()


def test_audits_alone_are_refused(tmp_path, invoke):
    audited(tmp_path / "one")
    audited(tmp_path / "other")
    told = invoke("report", "one", "other")
    assert told.exit_code == 2
    assert "only audits; expected a study among them" in " ".join(told.output.split())


def test_the_page_of_one_network_counts_it_and_cuts_no_label(tmp_path):
    audit = Audit.load(audited(tmp_path / "audit", eps=[4 / 255, 8 / 255]).path)
    html = audit_page.write(audit).read_text()
    assert "mnist · test images · 1 network<" in html
    assert "&lt;mine&gt;. PGD accuracy, eps 4/255: 0.432; PGD accuracy, eps 8/255: 0.432." in html
    (drawn,) = audit_page.by_eps(audit)
    labels = re.findall(r'<text x="([\d.]+)" [^>]*"middle">(.*?)</text>', drawn)
    assert [text for _, text in labels] == ["4/255", "8/255"]
    widest = 6.6  # units of a digit at this size
    assert all(float(x) + widest * len(text) / 2 <= picture.WIDTH for x, text in labels)
