"""The page on flags has every flag that the code can say, worded as it says it."""

import ast
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sgdscope.attacks import Evidence
from sgdscope.attacks.masking import Masking
from sgdscope.curvature.symmetry import asymmetry_flag
from sgdscope.report import explained

ROOT = Path(__file__).parent.parent
PLACES = ["network", "attacks", "auditing", "curvature", "measuring", "execution"]
QUOTES = re.findall(r"^> (.*)$", (ROOT / "docs" / "flags.md").read_text(), re.MULTILINE)


def sections() -> list[tuple[str, str]]:
    """Each flag with the heading that it stands under."""
    found, heading = [], ""
    for line in (ROOT / "docs" / "flags.md").read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("> "):
            found.append((heading, line[2:]))
    return found


def wording(sentence: str) -> str:
    """A sentence without its numbers."""
    return re.sub(r"(…|[\d.,]+(e-?\d+)?)%?", "…", sentence)


SAID = {wording(quote) for quote in QUOTES}


def text(node: ast.expr) -> str:
    """What a string in the code says, with … for what is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return text(node.left)
    return "…"


def literals(node: ast.expr, tree: ast.AST) -> list[str]:
    """Every string that an argument may be; a name is looked up among the file's assignments."""
    if not isinstance(node, ast.Name):
        return [text(node)]
    found = []
    for place in ast.walk(tree):
        if isinstance(place, ast.Assign) and isinstance(place.targets[0], ast.Name):
            if place.targets[0].id == node.id:
                found.append(text(place.value))
        elif isinstance(place, ast.Assign) and isinstance(place.targets[0], ast.Tuple):
            names = [getattr(target, "id", "") for target in place.targets[0].elts]
            if node.id in names and isinstance(place.value, ast.Tuple):
                found.append(text(place.value.elts[names.index(node.id)]))
    return found


def findings() -> list[tuple[str, str]]:
    """What is seen and advised by each finding that is a flag, neither note nor refusal."""
    found = []
    for path in (path for place in PLACES for path in (ROOT / "sgdscope" / place).glob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
            if named and len(node.args) == 3:
                seen, advice = (literals(part, tree) for part in node.args[1:])
                found += [(one, other) for one in seen for other in advice]
    return found


def appended() -> list[str]:
    """What is put among flags where it arises."""
    found = []
    for path in (path for place in PLACES for path in (ROOT / "sgdscope" / place).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=owner, attr="append"), args=[sentence]):
                    name = getattr(owner, "attr", getattr(owner, "id", ""))
                    found += [text(sentence)] if name == "flags" else []
                case ast.Call(func=ast.Attribute(attr="_flag"), args=[sentence]):
                    found.append(text(sentence))
    return found


def test_every_finding_about_a_network_is_explained():
    said = [quote for quote in map(wording, QUOTES) if ";" in quote]
    seen = {one for one, _ in findings()}
    assert len(seen) > 15
    for sentence in seen - {"…"}:
        start = wording(sentence.split(" (")[0])
        assert any(quote.startswith(start) for quote in said), sentence
    for sentence in {other for _, other in findings()} - {"…"}:
        assert any(wording(sentence) in quote for quote in said), sentence


def test_every_flag_that_is_appended_is_explained():
    found = [sentence for sentence in appended() if sentence != "…"]
    assert len(found) > 3
    for sentence in found:
        assert wording(sentence) in SAID, sentence


@pytest.mark.parametrize("one_step", [True, False])
def test_every_sign_of_a_weak_attack_is_explained(one_step):
    counts = {field.name: 100 for field in fields(Masking)}
    masking = replace(Masking(**counts), uphill=0.02)
    evidence = Evidence(
        loss="cross_entropy", one_step=one_step, search=False, clean_accuracy=1.0, confidence=1.0,
        right=100, zero_gradient=90, saturated=90, given_up=0, compared=100, attack_fooled=0.1,
        noise_fooled=0.5, noise_beats=50, weaker_fooled=0.6, weaker_beats=50, black_box_beats=50,
        probabilities=False, randomised=False, masking=masking,
    )  # fmt: skip
    found = evidence.flags()
    assert len(found) == 5 + 7
    assert {wording(flag) for flag in found} <= SAID


def test_an_asymmetric_matrix_is_explained():
    assert {wording(flag) for flag in asymmetry_flag(0.1, 0.0)} <= SAID


@pytest.mark.parametrize("file", ["measuring/spectrum.py", "execution/recorder.py"])
def test_reasons_of_gaps_and_unconverged_numbers_are_explained(file):
    source = (ROOT / "sgdscope" / file).read_text()
    whole = [wording(text(node)) for node in ast.walk(ast.parse(source)) if _is_text(node)]
    reasons = [one for one in whole if "may lie" in one or "may be" in one or "could not be" in one]
    assert reasons
    for reason in reasons:
        stem = reason.split(":")[0] if "could not be" in reason else reason
        assert any(stem in quote for quote in SAID), reason


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr | ast.Constant)


@pytest.mark.parametrize(("heading", "flag"), sections())
def test_the_page_explains_each_flag_and_names_its_section(heading, flag):
    assert explained.explain(flag).title == heading
    assert heading in explained.note(flag)


def test_every_section_of_the_page_on_flags_is_named_by_the_report():
    text = (ROOT / "docs" / "flags.md").read_text()
    headings = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert headings == {one.title for one in explained.FLAGS} | {explained.LOST, explained.RISEN}


def test_a_flag_of_a_plugin_is_shown_as_it_is():
    assert explained.note("the moon was full") == ""
