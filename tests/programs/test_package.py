"""The installed package: pyproject.toml lists every package, module and data file of it."""

import os
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from helpers.programs import ROOT

SOURCE = ROOT / "python"
IMPORT_ALL = """
import importlib, pkgutil, sys, unspeech
assert unspeech.__file__.startswith(sys.argv[1]), unspeech.__file__
names = [module.name for module in pkgutil.walk_packages(unspeech.__path__, "unspeech.")]
names = [name for name in names if not name.endswith(".__main__")]
for name in names:
    importlib.import_module(name)
from unspeech.api import PRETRAINED
from unspeech.cli.options import ANSWERS
assert ANSWERS.is_file() and (PRETRAINED / "voices-so762/final.ie.id").is_file()
assert unspeech.load_model("voices-so762").dim
print(len(names))
"""


def install(to: Path) -> None:
    """Copy what setuptools would install, by the settings in pyproject.toml."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    find, data = settings["packages"]["find"], settings["package-data"]
    for folder in [SOURCE / "unspeech", *(p for p in SOURCE.rglob("*") if p.is_dir())]:
        package = ".".join(folder.relative_to(SOURCE).parts)
        if not any(fnmatch(package, pattern) for pattern in find["include"]):
            continue
        if any(fnmatch(package, pattern) for pattern in find["exclude"]):
            continue
        files = [*folder.glob("*.py")]
        files += [file for pattern in data.get(package, []) for file in folder.glob(pattern)]
        for file in files:
            target = to / file.relative_to(SOURCE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def test_every_module_can_be_imported_from_an_installed_package(tmp_path):
    install(tmp_path / "site")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(tmp_path / "site")],
        env=environment | {"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules = [p for p in (SOURCE / "unspeech").rglob("*.py") if p.name != "__main__.py"]
    modules.remove(SOURCE / "unspeech/__init__.py")
    assert int(done.stdout) == len(modules)


def test_every_data_file_is_installed(tmp_path):
    install(tmp_path)
    for file in (SOURCE / "unspeech").rglob("*"):
        if file.is_file() and file.suffix != ".pyc":
            assert (tmp_path / file.relative_to(SOURCE)).exists(), file
