"""Imports between packages run one way, down the list in CONTRIBUTING.md."""

import ast
import re
import sys
from pathlib import Path

import pytest
from helpers.programs import ROOT
from helpers.shell import run

SOURCE = ROOT / "python/unspeech"
LAYERS = [  # each imports itself and those before it
    "cli", "files", "kaldi", "audio", "network", "training", "embedding", "corrections",
    "clustering", "evaluation", "listen",
]  # fmt: skip
PROGRAMS = len(LAYERS)  # what stands in unspeech/ itself may import all of them


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def layer_of(name: str) -> int:
    """The place of a module `unspeech.<package>.<module>`, programs and the API being the last."""
    package = name.split(".")[1] if "." in name else ""
    return LAYERS.index(package) if package in LAYERS else PROGRAMS


def imported_by(path: Path) -> set[str]:
    """Modules of ours that a file imports anywhere, in functions, too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "unspeech"}


def test_every_package_has_its_place():
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages <= set(LAYERS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_down_the_list(path):
    own = layer_of(".".join(["unspeech", *path.relative_to(SOURCE).with_suffix("").parts]))
    upward = sorted(name for name in imported_by(path) if layer_of(name) > own)
    assert not upward


def test_no_two_modules_import_each_other():
    uses = {
        ".".join(["unspeech", *path.relative_to(SOURCE).with_suffix("").parts]): imported_by(path)
        for path in modules()
    }
    uses = {m: {u for u in uses if any(n == u or n.startswith(u + ".") for n in names)}
            for m, names in uses.items()}  # fmt: skip
    while leaves := [module for module, names in uses.items() if not names]:
        uses = {m: names.difference(leaves) for m, names in uses.items() if m not in leaves}
    assert not uses, f"a circle: {', '.join(sorted(uses))}"


def test_tensorflow_is_imported_in_one_place_without_what_keras_takes_along():
    imported = re.compile(r"^\s*(import|from) (tensorflow|keras)\b", re.MULTILINE)
    places = [path for path in modules() if imported.search(path.read_text())]
    assert places == [SOURCE / "network/backend.py"]
    script = """
import sys
import unspeech.network.backend
left_out = {"sklearn", "matplotlib"}
assert not left_out & set(sys.modules), left_out & set(sys.modules)
import sklearn.cluster, matplotlib.pyplot  # who wants them still has them
"""
    done = run(sys.executable, "-c", script)
    assert done.returncode == 0, done.stderr
