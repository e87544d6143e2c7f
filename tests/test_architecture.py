"""Imports follow the flow: study → runs → train → measure → results → figures, report → cli."""

import ast
from pathlib import Path

import sgdscope

PACKAGE = Path(sgdscope.__file__).parent
ORDER = [
    {"errors"},
    {"files"},
    {"registry", "settings", "streams"},
    {"arguments", "references"},
    {"kernels", "network"},
    {"models", "data", "optimizers"},
    {"attacks", "curvature"},
    {"measuring", "methods"},
    {"study"},
    {"results"},
    {"training"},
    {"execution"},
    {"claims"},
    {"findings"},
    {"auditing", "watching"},
    {"charts"},
    {"figures"},
    {"report"},
    {"parts", "notebook"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def room(module: str) -> str:
    """The part of the package that a module belongs to."""
    return ([*module.split("."), "__init__"])[1]


def imports(file: Path):
    """What a file imports of the package when it runs, leaving out what only types need."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("sgdscope"))
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: a relative import"
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sgdscope"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from names if node.module == "sgdscope" else [node.module]


def test_imports_follow_the_flow():
    for file in PACKAGE.rglob("*.py"):
        here = room(".".join(("sgdscope", *file.relative_to(PACKAGE).with_suffix("").parts)))
        if here == "__init__":
            continue
        for module in imports(file):
            there = room(module)
            if there == "notebook":  # how a thing looks, which it is asked itself
                continue
            assert there == here or RANK[there] < RANK[here], f"{here} imports {there}"


def test_every_room_has_its_place():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "studies"} <= set(RANK)
