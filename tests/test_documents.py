"""What the documents point at is there, and what they show is valid."""

import doctest
import re
import tomllib
from pathlib import Path

import pytest

from sgdscope import registry
from sgdscope.study.study import Study

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
