"""train.sh with a solved head and adapt.sh, on features of a few made-up speakers."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.data import voices, write_features
from helpers.models import STATISTICS, solve, tiny_options, train_statistics
from helpers.programs import call, call_fails
from helpers.shell import STEPS, paused, run, times_of_files

from unspeech.embedding.statistics import load_statistics_model
from unspeech.kaldi.archives import ArkWriter, iterate_arrays
from unspeech.kaldi.tables import read_table, write_table

SPEAKERS, UTTERANCES = 5, 10  # enough of each for clusters


def done(*command, **environment) -> str:
    result = run(*command, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def step(name: str, *words) -> str:
    return done(STEPS / f"{name}.sh", *words)


def id_of(model: Path) -> str:
    return (model / "final.ie.id").read_text()


@pytest.fixture(scope="module")
def dev(tmp_path_factory) -> Path:
    """A corpus of other speakers."""
    features = voices(SPEAKERS, UTTERANCES, seed=5)
    return write_features(tmp_path_factory.mktemp("dev") / "data", features)


@pytest.fixture(scope="module")
def model(many_data, tmp_path_factory) -> Path:
    """What train.sh makes with settings like those of conf/statistics.yaml, but fewer values."""
    folder = tmp_path_factory.mktemp("exp")
    settings = yaml.safe_load((STEPS.parent / "conf/statistics.yaml").read_text())
    assert settings.keys() >= STATISTICS.keys()
    small = {**STATISTICS, "solve_head": True}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings | small))
    step("train", "--nj", 2, "--config", folder / "config.yaml", many_data, folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def adapted(model, dev) -> tuple[Path, str]:
    new = model.with_name("adapted")
    return new, step("adapt", dev, model, new)


def test_training_leaves_a_model_and_nothing_else(model, many_data):
    made = {path.name for path in model.iterdir() if not path.name.startswith(".")}
    assert made == {"config.yaml", "final.ie.id", "log", "model.weights.h5", "train_log.jsonl",
                    "trained_on.yaml"}  # fmt: skip
    command = [STEPS / "train.sh", "--nj", 2, "--config", model.with_name("config.yaml")]
    assert "nothing to do" in done(*command, many_data, model)


def test_one_job_trains_what_two_do(model, many_data, statistics_model):
    """The fixture of the other tests was solved from one job's sums."""
    one, two = load_statistics_model(statistics_model), load_statistics_model(model)
    np.testing.assert_allclose(one.head.mean, two.head.mean, rtol=1e-9)
    np.testing.assert_allclose(one.head.covariance, two.head.covariance, rtol=1e-4, atol=1e-5)


def test_an_adapted_model_is_another(model, adapted, dev, tmp_path):
    new, said = adapted
    assert id_of(new) != id_of(model)
    assert int(re.search(r"Round 1: (\d+) clusters", said)[1]) >= SPEAKERS
    assert re.search(
        r"Round 2 clusters as the one before with an adjusted Rand index of [01]", said
    )
    made = {path.name for path in new.iterdir() if not path.name.startswith(".")}
    assert made == {"config.yaml", "final.ie.id", "log", "model.weights.h5", "rounds"}
    assert not list(new.rglob("*.ark")), "what was pooled is not kept"
    step("embed_utterances", dev, new, tmp_path / "new")
    vectors = dict(iterate_arrays(tmp_path / "new/embedding.scp"))
    assert list(vectors) == list(read_table(dev / "feats.scp"))
    matrix = np.array(list(vectors.values()))
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-5)
    assert matrix.shape[1] == SPEAKERS * UTTERANCES - 1


def test_a_second_call_does_nothing(model, adapted, dev):
    new, _ = adapted
    before = times_of_files(new)
    assert "nothing to do" in step("adapt", dev, model, new)
    assert times_of_files(new) == before


def test_two_jobs_adapt_as_one(model, adapted, dev, tmp_path):
    new, _ = adapted
    step("adapt", "--nj", 2, dev, model, tmp_path / "two")
    one, two = (load_statistics_model(each) for each in (new, tmp_path / "two"))
    np.testing.assert_allclose(one.head.mean, two.head.mean, rtol=1e-9)

    def cosines(adapted_model):
        vectors = tmp_path / "vectors" / adapted_model.name
        step("embed_utterances", dev, adapted_model, vectors)
        matrix = np.array([vector for _, vector in iterate_arrays(vectors / "embedding.scp")])
        return matrix @ matrix.T

    np.testing.assert_allclose(cosines(new), cosines(tmp_path / "two"), atol=1e-4)


def test_killed_it_goes_on(model, adapted, dev, tmp_path, tmp_path_factory):
    new, _ = adapted
    resumed, flag = tmp_path / "resumed", tmp_path_factory.mktemp("flag") / "flag"
    command = [STEPS / "adapt.sh", dev, model, resumed]
    for at, number in (("contexts/sums.1.npz", 1), ("rounds/1/clusters/utt2spk", 1),
                       ("final.ie.id", 1)):  # fmt: skip
        with paused(command, resumed / at, flag, number, stdout=subprocess.DEVNULL,
                    env=dict(os.environ)):  # fmt: skip
            assert not (resumed / "final.ie.id").exists()
    done(*command)
    assert id_of(resumed) == id_of(new)


def test_no_rounds(model, dev, tmp_path):
    new = tmp_path / "new"
    step("adapt", "--rounds", 0, "--weight", 0, "--embedding-size", 4, dev, model, new)
    assert not (new / "rounds").exists()
    assert load_statistics_model(new).dim == 4
    result = run(STEPS / "adapt.sh", "--rounds", 0, dev, model, new)
    assert result.returncode == 1
    assert "weight" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_few_utterances_are_not_clustered(model, dev, tmp_path):
    some = dict(list(iterate_arrays(dev / "feats.scp"))[:3])
    few = write_features(tmp_path / "few", some)
    assert "3 utterances are too few to be clustered: no rounds" in step(
        "adapt", few, model, tmp_path / "new"
    )


def test_compressed_features_train_the_same_model(many_data, statistics_model, tmp_path):
    """They are not kept in memory, as they are read again to be pooled."""
    data = tmp_path / "data"
    shutil.copytree(many_data, data)
    with ArkWriter(data / "feats.ark", data / "feats.scp", compress=True) as writer:
        for name, features in iterate_arrays(many_data / "feats.scp"):
            writer.write(name, features)
    train_statistics(data, tmp_path / "model")
    both = [tmp_path / "model", statistics_model]
    known = [yaml.safe_load((model / "trained_on.yaml").read_text()) for model in both]
    assert known[0]["md5"] == known[1]["md5"]
    matrices = [load_statistics_model(model).head.matrix for model in both]
    np.testing.assert_allclose(np.abs(matrices[0]), np.abs(matrices[1]), atol=0.05)


def test_a_trained_head_is_not_solved_again(tiny_model, dev, tmp_path):
    result = run(STEPS / "adapt.sh", dev, tiny_model, tmp_path / "new")
    assert result.returncode == 1
    assert f"{tiny_model}: its head was trained and not solved" in result.stderr
    assert not (tmp_path / "new").exists()


NETWORKS = {
    "Vgg16": {},
    "TDNN": {
        "window_length": 40,
        "window_neg_length": 40,
        "tdnn_channels": 8, "pooled_channels": 8, "fc_size": 0, "context_sampling": "recording",
        "left_contexts": 0, "right_contexts": 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("encoder", NETWORKS)
def test_a_network_with_a_solved_head(encoder, tiny_data, tmp_path):
    model, new = tmp_path / "model", tmp_path / "new"
    other = voices(3, 4, seed=5)
    dev = write_features(tmp_path / "data", other)
    settings = {"embedding_transformation": encoder, "num_steps": 2, "steps_per_checkpoint": 1}
    settings |= {"solve_head": "true", **NETWORKS[encoder]}
    call("train", "--data", tiny_data, "--dir", model, *tiny_options(**settings))
    network = id_of(model)
    solve(tiny_data, model)
    assert id_of(model) != network
    step("adapt", "--rounds", 0, "--embedding-size", 8, dev, model, new)
    assert id_of(new) != id_of(model)
    vectors = {}
    for each in (model, new):
        made = ["--feats", dev / "feats.scp", "--model", each, "--ark"]
        call("embed", *made, tmp_path / "rows" / f"{each.name}.ark")
        call("embed", "utterances", *made, tmp_path / f"{each.name}.ark")
        rows = dict(iterate_arrays(tmp_path / "rows" / f"{each.name}.scp"))
        assert {u: r.shape for u, r in rows.items()} == {
            u: (-(-len(f) // 10), 8) for u, f in other.items()
        }
        vectors[each] = np.array([v for _, v in iterate_arrays(tmp_path / f"{each.name}.scp")])
        np.testing.assert_allclose(np.linalg.norm(vectors[each], axis=1), 1, rtol=1e-5)
    assert np.abs(vectors[model] - vectors[new]).max() > 0.01
    damaged = shutil.copytree(new, tmp_path / "damaged")
    (damaged / "model.weights.h5").write_bytes((model / "model.weights.h5").read_bytes())
    message = call_fails(
        "embed", "--feats", dev / "feats.scp", "--model", damaged, "--ark", tmp_path / "x.ark"
    )
    assert "was changed or damaged since the model was trained" in message


def test_changed_recordings_are_noticed(many_data, tmp_path):
    data, config = tmp_path / "data", tmp_path / "config.yaml"
    write_features(data, dict(iterate_arrays(many_data / "feats.scp")))
    utterances = list(read_table(data / "feats.scp"))
    write_table(data / "segments", {u: f"{u[:2]} 0 1" for u in utterances})
    config.write_text(yaml.safe_dump(STATISTICS | {"solve_head": True}))
    step("train", "--config", config, data, tmp_path / "model")
    write_table(data / "segments", {u: f"{u} 0 1" for u in utterances})
    again = run(STEPS / "train.sh", "--config", config, data, tmp_path / "model")
    assert "made otherwise: segments is another one now" in again.stderr


def test_a_changed_model_is_not_adapted(model, dev, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    path = tmp_path / "model/config.yaml"
    path.write_text(re.sub("embedding_limit: .*", "embedding_limit: 9", path.read_text()))
    refused = run(STEPS / "adapt.sh", dev, tmp_path / "model", tmp_path / "adapted")
    assert refused.returncode == 1
    assert "was changed or damaged since the model was trained" in refused.stdout + refused.stderr
    assert not (tmp_path / "adapted/final.ie.id").exists()


def test_rounds_of_another_call_do_not_stay(model, dev, tmp_path):
    step("adapt", "--rounds", 2, "--agreement", 1, dev, model, tmp_path / "new")
    assert (tmp_path / "new/rounds/2").exists()
    step("adapt", "--rounds", 1, "--overwrite", "true", dev, model, tmp_path / "new")
    assert not (tmp_path / "new/rounds/2").exists()
