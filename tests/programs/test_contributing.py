"""CONTRIBUTING.md: its worked examples run as they stand, and its map names what there is."""

import re

from helpers.data import write_corpus
from helpers.models import tiny_options
from helpers.programs import ROOT, call
from helpers.shell import copy_checkout, run

from unspeech.kaldi.tables import read_table

TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def example(title: str) -> str:
    """The code under a heading."""
    section = TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```(?:python|bash)\n(.*?)```", section, re.DOTALL)
    assert len(code.splitlines()) < 20
    return code


def definition(title: str, name: str):
    """What a Python example defines."""
    scope = {}
    exec(example(title), scope)
    return scope[name]


def trains(data, model, **settings) -> None:
    options = tiny_options(num_steps=2, steps_per_checkpoint=2, **settings)
    call("train", "--data", data, "--dir", model, *options)
    assert (model / "final.ie.id").exists()


def test_a_new_encoder_trains(tiny_data, tmp_path, monkeypatch):
    from unspeech.network.encoders.table import ENCODERS

    monkeypatch.setitem(ENCODERS, "MeanFrame", definition("Add an encoder", "mean_frame"))
    trains(tiny_data, tmp_path / "model", embedding_transformation="MeanFrame")


def test_a_new_objective_trains(tiny_data, tmp_path, monkeypatch):
    from unspeech.training.objectives import OBJECTIVES

    monkeypatch.setitem(OBJECTIVES, "hinge", definition("Add an objective", "HINGE"))
    trains(tiny_data, tmp_path / "model", objective="hinge")


def test_a_new_recipe_has_its_data_imported(tmp_path):
    checkout = copy_checkout(tmp_path / "checkout")
    recipe = tmp_path / "egs/aishell/s5"
    for name in ("train_sp", "dev", "test"):
        write_corpus(recipe / "data" / name, speakers=2, utterances=2)
    (checkout / "local/aishell").mkdir()
    (checkout / "local/aishell/recipe.sh").write_text(example("Add a recipe"))
    command = [checkout / "run.sh", "--recipe", recipe, "--stop-stage", 0]
    result = run(*command, cwd=checkout, KALDI_ROOT="")
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("train_sp", "dev", "test"):
        made = recipe / "exp/nnet3_unspeech/data" / name
        assert len(read_table(made / "wav.scp")) == 4
        assert read_table(made / "utt2person") == read_table(made / "utt2spk")


def test_the_map_names_the_packages_in_their_order():
    named = re.findall(r"^\| `(\w+)/` \|", TEXT, re.MULTILINE)
    there = {path.parent.name for path in (ROOT / "python/unspeech").glob("*/__init__.py")}
    assert there <= set(named)


def test_modules_that_it_names_are_there():
    packages = "|".join(re.findall(r"^\| `(\w+)/` \|", TEXT, re.MULTILINE))
    modules = re.findall(rf"`((?:{packages})\.[a-z_0-9]+)`", TEXT)
    assert len(modules) > 10
    for module in modules:
        assert (ROOT / f"python/unspeech/{module.replace('.', '/')}.py").exists(), module
