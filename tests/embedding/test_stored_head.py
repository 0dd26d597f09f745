"""The solved head in a model's file: read as written, refused when changed, of some dimensions."""

import shutil
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from helpers.data import voices
from helpers.models import same_heads, solve, train_statistics

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.statistics import load_statistics_model
from unspeech.network.model_dir import find_head, read_head, write_head, write_id
from unspeech.network.solved_head import SolvedHead


@pytest.fixture
def model(statistics_model, tmp_path):
    return shutil.copytree(statistics_model, tmp_path / "model")


def test_a_head_is_read_as_it_was_written(model):
    head = read_head(model)
    write_head(model, head)
    assert not (model / "final.ie.id").exists(), "it is to be written last"
    same_heads(find_head(model), head)
    assert write_id(model, ()) == (model / "final.ie.id").read_text().strip()
    load_statistics_model(model)


STORED = {field.name for field in fields(SolvedHead)} - {"directions"}  # it has none


@pytest.mark.parametrize("name", sorted(STORED))
def test_a_changed_head_is_refused(model, name):
    with h5py.File(model / "model.weights.h5", "r+") as file:
        part = file["solved_head"][name]
        part[...] = part[()] + 1e-3
    with pytest.raises(UnspeechError, match="was changed or damaged since the model was trained"):
        load_statistics_model(model)


def test_any_byte_of_the_head(model):
    weights = model / "model.weights.h5"
    whole = weights.read_bytes()
    with h5py.File(weights) as file:
        begin = file["solved_head/covariance"].id.get_offset()
    for place in (begin, begin + 1001, begin + 20_000):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        weights.write_bytes(bytes(damaged))
        with pytest.raises(UnspeechError, match="changed or damaged"):
            load_statistics_model(model)
    weights.write_bytes(whole)
    load_statistics_model(model)


@pytest.mark.parametrize("change", ["missing", "more", "shape", "no head", "cut"])
def test_a_damaged_head_is_refused(model, change):
    weights = model / "model.weights.h5"
    with h5py.File(weights, "r+") as file:
        group = file["solved_head"]
        if change == "missing":
            del group["matrix"]
        elif change == "more":
            group["another"] = np.zeros(3)
        elif change == "shape":
            matrix = group["matrix"][()]
            del group["matrix"]
            group["matrix"] = matrix[:-1]
        elif change == "no head":
            del file["solved_head"]
    if change == "cut":
        weights.write_bytes(weights.read_bytes()[:-3000])
    with pytest.raises(UnspeechError, match="model") as error:
        load_statistics_model(model)
    assert "\n" not in str(error.value)


def test_values_that_are_not_finite_are_no_head(model):
    before = {path.name: path.read_bytes() for path in model.iterdir() if path.is_file()}
    head = read_head(model)
    matrix = head.matrix.copy()
    matrix[3, 2] = np.nan
    with pytest.raises(UnspeechError, match="NaN or infinite values; there is no model"):
        write_head(model, replace(head, matrix=matrix))
    assert {p.name: p.read_bytes() for p in model.iterdir() if p.is_file()} == before


def test_an_embedding_of_some_dimensions(tiny_data, tmp_path):
    model = train_statistics(tiny_data, tmp_path / "model", embedding_size=5)
    made = load_statistics_model(model)
    assert made.dim == 5
    assert made.embed(next(iter(voices().values()))).shape == (5,)
    for size, dim in ((0, made.values.width), (3, 3), (None, 5), (9999, made.values.width)):
        new = tmp_path / f"new{size}"
        options = [] if size is None else ["--embedding-size", size]
        solve(tiny_data, model, "--out", new, *options)
        assert load_statistics_model(new).dim == dim


def test_a_head_needs_a_size_that_there_is(tiny_data, tmp_path):
    with pytest.raises(SystemExit, match="embedding_size is 200, but the head has 135 values"):
        train_statistics(tiny_data, tmp_path / "model", embedding_size=200)
    assert not (tmp_path / "model/final.ie.id").exists()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"solve_head": "false", "embedding_size": 8}, "Statistics takes features and a solved"),
        ({"end_to_end": "true"}, "Statistics takes features and a solved head"),
        ({"embedding_transformation": "Vgg16"}, "embedding_size 0 goes with"),
    ],
)
def test_settings_that_do_not_go_together(tiny_data, tmp_path, other, says):
    with pytest.raises(SystemExit, match=says):
        train_statistics(tiny_data, tmp_path / "model", **other)
    assert not (tmp_path / "model").exists()
