"""A place to call steps in, and a small trained model to be damaged."""

import shutil
from pathlib import Path

import pytest
from helpers.damage import train
from helpers.data import voices, write_features
from helpers.programs import call
from helpers.step_calls import write_audio, write_vectors

from unspeech.kaldi.tables import read_table, write_table


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A data directory, a folder of audio, features, vectors, a clustering, what looks a model."""
    place = tmp_path_factory.mktemp("template") / "place"
    write_audio(place / "data", ["a-1", "a-2", "b-1"])
    shutil.copytree(place / "data/audio", place / "folder")
    write_features(place / "feats", {name: m[:20] for name, m in voices(2, 2).items()})
    write_vectors(place / "emb")
    write_table(
        place / "gold", {u: u.split("-")[0] for u in read_table(place / "emb/embedding.scp")}
    )
    (place / "model").mkdir()
    (place / "model/config.yaml").write_text("end_to_end: false\n")
    (place / "model/final.ie.id").write_text("an id\n")
    (place / "model/model.weights.h5").write_text("weights\n")
    write_table(place / "clusters/utt2spk", {"a-1": "c0", "a-2": "c0", "b-1": "c1"})
    (place / "clusters/clusters.json").write_text("{}\n")
    (place / "clusters/members.npz").write_bytes(b"members")
    (place / "conf").mkdir()
    (place / "conf/tiny.yaml").write_text("num_steps: 1\n")
    # Paths in tables hold the place's name, which the copies for each fault have, too.
    return place


@pytest.fixture
def place(template, tmp_path) -> Path:
    place = tmp_path / "place"
    shutil.copytree(template, place)
    for table in [*place.rglob("*.scp")]:
        table.write_text(table.read_text().replace(str(template), str(place)))
    return place


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("data"), voices(speakers=3, utterances=3))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exp") / "model"
    call("train", *train(data, directory))
    return directory


@pytest.fixture
def model(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "model")
