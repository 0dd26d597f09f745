"""Model directories that were damaged, edited, or left by an earlier version."""

import hashlib

import h5py
import numpy as np
import pytest
import yaml
from helpers.damage import edit, embed, overwrite, train
from helpers.data import voices, write_features
from helpers.faults import accepted, make_special, refused
from helpers.programs import run_with_little_space

from unspeech.kaldi.archives import iterate_arrays
from unspeech.network.config_files import make_config
from unspeech.network.model import load_model


def one_weight(model) -> None:
    """Change one weight, with all of HDF5's own checks still content."""
    with h5py.File(model / "model.weights.h5", "r+") as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, item: found.append(item) if hasattr(item, "shape") else None)
        weight = next(item for item in found if item.size)
        weight[...] = weight[...] + 1e-3


WEIGHTS, CONFIG, ID = "model.weights.h5", "config.yaml", "final.ie.id"
CHANGED = "was changed or damaged since the model was trained"
FAULTS = {  # what is done to a model directory, and what is said of it
    "0xFF in the weights": (
        lambda m: overwrite(m / WEIGHTS, 0.7, b"\xff" * 4000), "model"),
    "one weight": (one_weight, CHANGED),
    "half of the weights": (
        lambda m: (m / WEIGHTS).write_bytes((m / WEIGHTS).read_bytes()[:9000]), WEIGHTS),
    "no weights": (lambda m: (m / WEIGHTS).write_bytes(b""), WEIGHTS),
    "words for weights": (lambda m: (m / WEIGHTS).write_bytes(b"not weights"), WEIGHTS),
    "weights missing": (lambda m: (m / WEIGHTS).unlink(), f"{WEIGHTS}: no such file"),
    "a fifo for weights": (lambda m: make_special(m / WEIGHTS, "fifo"), f"{WEIGHTS}: no such file"),
    "another window": (
        lambda m: edit(m / CONFIG, "window_length: 16", "window_length: 24"), "config.yaml"),
    "another learning rate": (
        lambda m: edit(m / CONFIG, "l2_reg: 0.0001", "l2_reg: 0.0002"), CHANGED),
    "a setting less": (lambda m: edit(m / CONFIG, "seed: 1\n", ""), CHANGED),
    "another encoder": (
        lambda m: edit(m / CONFIG, "BaselineDnn", "HighwayDnn"), "does not fit these settings"),
    "an unknown encoder": (
        lambda m: edit(m / CONFIG, "BaselineDnn", "Nothing"), "no encoder 'Nothing'"),
    "an unknown setting": (lambda m: edit(m / CONFIG, "seed: 1", "seed: 1\nmore: 1"), "'more'"),
    "NaN as a setting": (lambda m: edit(m / CONFIG, "margin: 0.0", "margin: .nan"), "margin takes"),
    "no YAML": (lambda m: (m / CONFIG).write_text("a: [\n"), "config.yaml: not valid YAML"),
    "settings in Latin-1": (
        lambda m: (m / CONFIG).write_bytes(b"# \xe9\n"), "config.yaml:1: not a text file"),
    "empty settings": (lambda m: (m / CONFIG).write_bytes(b""), "config.yaml: expected lines"),
    "another id": (lambda m: (m / ID).write_text("0" * 32 + "\n"), CHANGED),
    "empty id": (lambda m: (m / ID).write_text(""), CHANGED),
    "binary id": (lambda m: (m / ID).write_bytes(b"\xff\xfe"), f"{ID}:1: not a text file"),
    "id missing": (lambda m: (m / ID).unlink(), f"{ID}: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_model(fault, data, model):
    spoil, says = FAULTS[fault]
    spoil(model)
    refused("embed", *embed(data, model), says=says, out=model.parent / "out")


def test_training_does_not_begin_with_a_damaged_model(data, model, tmp_path):
    one_weight(model)
    command = train(data, tmp_path / "new", initial_model=str(model))
    refused("train", *command, says=(model, CHANGED))
    assert not (tmp_path / "new/final.ie.id").exists()


def test_id_of_a_model_is_that_of_its_settings_and_weights(trained):
    """Written down here, as models of earlier versions must load for ever."""
    model = load_model(trained)
    config = make_config(yaml.safe_load((trained / CONFIG).read_text()), "test")
    digest = hashlib.md5(repr(config).encode())
    for weight in model.weights:
        digest.update(weight.numpy().tobytes())
    assert (trained / ID).read_text() == digest.hexdigest() + "\n"


def test_model_of_a_version_with_fewer_settings(data, model):
    """What was added since is not in `config.yaml`, and not in what the id is made of."""
    config = make_config(yaml.safe_load((model / CONFIG).read_text()), "test")
    edit(model / CONFIG, "teacher_momentum: 0.99\n", "")
    digest = hashlib.md5(repr(config).replace("teacher_momentum=0.99, ", "").encode())
    for weight in load_model_weights(model):
        digest.update(weight)
    (model / ID).write_text(digest.hexdigest() + "\n")
    accepted("embed", *embed(data, model))


def load_model_weights(model) -> list[bytes]:
    from unspeech.network.model import UnspeechModel

    built = UnspeechModel(make_config(yaml.safe_load((model / CONFIG).read_text()), "test"))
    built.load_weights(model / WEIGHTS)
    return [weight.numpy().tobytes() for weight in built.weights]


STATISTICS = "row_statistics.yaml"


def set_statistic(model, name: str, value) -> None:
    statistics = yaml.safe_load((model / STATISTICS).read_text())
    statistics[name] = value
    (model / STATISTICS).write_text(yaml.safe_dump(statistics))


DAMAGED_STATISTICS = {
    "truncated": lambda m: overwrite(m / STATISTICS, 0, b"targets_mean: ["),
    "half": lambda m: (m / STATISTICS).write_bytes((m / STATISTICS).read_bytes()[:60]),
    "empty": lambda m: (m / STATISTICS).write_bytes(b""),
    "binary": lambda m: (m / STATISTICS).write_bytes(b"\xff" * 99),
    "a word": lambda m: set_statistic(m, "targets_mean", "word"),
    "a dimension too few": lambda m: set_statistic(m, "targets_mean", [0.0] * 7),
    "NaN": lambda m: set_statistic(m, "targets_mean", [float("nan")] * 8),
    "deviation 0": lambda m: set_statistic(m, "targets_deviation", [0.0] * 8),
    "deviation -1": lambda m: set_statistic(m, "targets_deviation", [-1.0] * 8),
    "infinite": lambda m: set_statistic(m, "targets_deviation", [float("inf")] * 8),
    "none": lambda m: set_statistic(m, "targets_deviation", None),
    "missing": lambda m: (m / STATISTICS).unlink(),
}


@pytest.mark.parametrize("fault", DAMAGED_STATISTICS)
def test_damaged_statistics(fault, data, model):
    DAMAGED_STATISTICS[fault](model)
    command = embed(data, model, "--normalize-rows")[1:]
    refused("embed", *command, says=model / STATISTICS, out=model.parent / "out")


def test_features_that_overflow_a_network(data, model, tmp_path):
    huge = write_features(tmp_path / "huge", {"u-1": np.full((50, 40), 3e38)})
    command = embed(huge, model)
    refused("embed", *command, says=("e.ark", "utterance 'u-1'"), out=model.parent / "out")


@pytest.mark.parametrize("name", ["../../x", "a/b", ".hidden", "x" * 300])
def test_names_that_cannot_be_files(name, data, model, tmp_path):
    odd = write_features(tmp_path / "odd", {name: voices(1, 1)["s0-u0"]})
    command = ["ivectors", *embed(odd, model)[1:], "--output-feat-format", "unsup_challenge2017"]
    command[command.index("--ark") + 1] = tmp_path / "out"
    refused("embed", *command, says=("utterance '", "rename it"), out=tmp_path / "out")
    assert not list(tmp_path.rglob("*.fea"))


ONLINE = {
    "not UTF-8": (b"u \xff [\n", "stdin: not a text archive"),
    "binary": (b"u \0BFM ", "stdin: expected '<utterance> ["),
    "overflow": (b"u [\n" + b"1e99 " * 40 + b"]\n", "'u': frame 0 is not 40 finite numbers"),
    "no end": (b"u [\n" + b"1 " * 40 + b"\n", "'u': ends without ']'"),
}


@pytest.mark.parametrize("fault", ONLINE)
def test_what_comes_on_stdin(fault, model, tmp_path, monkeypatch):
    content, says = ONLINE[fault]
    (tmp_path / "stdin").write_bytes(content)
    out = tmp_path / "out"
    with (tmp_path / "stdin").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        command = ["--online", "--feats", "-", "--model", model, "--ark", out / "e.ark"]
        refused("embed", *command, says=says, out=out)


def checkpoints(model) -> list[str]:
    """The steps of checkpoints, in order."""
    found = (model / "checkpoints").glob("ckpt-*.index")
    return sorted(path.stem.removeprefix("ckpt-") for path in found)


def spoil_data(model, step: str) -> None:
    (path,) = (model / "checkpoints").glob(f"ckpt-{step}.data-*")
    overwrite(path, 0.3, b"\xff" * 3000)


def unfinished(model) -> None:
    """As a kill leaves it after the last checkpoint."""
    (model / ID).unlink()
    (model / WEIGHTS).unlink()


STATES = {  # what is damaged, and the step from which training goes on
    "the list of checkpoints": (
        lambda m: (m / "checkpoints/checkpoint").write_bytes(b"\xff\0garbage"), "6"),
    "the list is empty": (lambda m: (m / "checkpoints/checkpoint").write_bytes(b""), "6"),
    "the list is missing": (lambda m: (m / "checkpoints/checkpoint").unlink(), "6"),
    "the last checkpoint": (lambda m: spoil_data(m, "6"), "4"),
    "the last one's index": (
        lambda m: (m / "checkpoints/ckpt-6.index").write_bytes(b"\xff" * 500), "4"),
    "the last one's index is empty": (
        lambda m: (m / "checkpoints/ckpt-6.index").write_bytes(b""), "4"),
    "the last one lacks its data": (
        lambda m: next((m / "checkpoints").glob("ckpt-6.data-*")).unlink(), "4"),
}  # fmt: skip


@pytest.mark.parametrize("fault", STATES)
def test_training_goes_on_from_a_sound_checkpoint(fault, data, trained, model, capsys):
    assert checkpoints(model) == ["4", "6"]
    spoil, step = STATES[fault]
    unfinished(model)
    spoil(model)
    accepted("train", *train(data, model))
    said = capsys.readouterr().out
    assert f"Going on from step {step}" in said
    assert ("ckpt-6: damaged" in said) == (step == "4")
    assert (model / ID).read_text() == (trained / ID).read_text()


def test_no_checkpoint_is_sound(data, model):
    unfinished(model)
    spoil_data(model, "4")
    spoil_data(model, "6")
    says = (model / "checkpoints", "none of the 2 checkpoints is sound")
    refused("train", *train(data, model), says=says)
    assert not (model / ID).exists()


def test_damaged_best_weights(data, model):
    unfinished(model)
    (best,) = (model / "checkpoints").glob("best-*.weights.h5")
    best.write_bytes(b"no weights")
    refused("train", *train(data, model), says=(best.name, "damaged"))


LOGS = {
    "binary": b"\xff\xfe\0\n",
    "half a line": b'{"step": 2, "lo',
    "a list": b"[1]\n",
    "a word": b'{"step": "two"}\n',
    "brackets": b"[" * 9999 + b"\n",
}


@pytest.mark.parametrize("fault", LOGS)
def test_damaged_log(fault, data, model, capsys):
    unfinished(model)
    log = model / "train_log.jsonl"
    whole = log.read_text()
    log.write_bytes(whole.encode() + LOGS[fault])
    accepted("train", *train(data, model))
    assert log.read_text() == whole
    assert f"WARNING: {log}: left out what is no report" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{"learn_rate": 1000, "objective": "logistic"}])
def test_a_loss_that_overflows_at_once(options, data, tmp_path):
    loud = {name: 1e18 * array for name, array in voices(3, 3).items()}
    huge = write_features(tmp_path / "huge", loud)
    command = train(huge, tmp_path / "model", normalize_input="false", **options)
    refused("train", *command, says=(tmp_path / "model", "finite at step"))
    assert not (tmp_path / "model" / ID).exists()


def test_sound_model_embeds(data, model):
    accepted("embed", *embed(data, model))
    vectors = dict(iterate_arrays(model.parent / "out/e.scp"))
    assert len(vectors) == 9


def test_a_disk_that_fills_up_during_a_checkpoint(data, trained, tmp_path):
    model = tmp_path / "model"
    (best,) = (trained / "checkpoints").glob("best-*.weights.h5")
    weights = best.stat().st_size
    (checkpoint,) = (trained / "checkpoints").glob("ckpt-6.data-*")
    limit = (weights + checkpoint.stat().st_size) // 2
    assert weights < limit < checkpoint.stat().st_size
    run = run_with_little_space("train", *train(data, model), limit=limit)
    assert run.returncode == 1
    (line,) = (line for line in run.stderr.splitlines() if line.startswith("ERROR: "))
    assert f"{model}/checkpoints: the checkpoint of step 2 cannot be written" in line
    assert "free some space" in line
    assert "Traceback" not in run.stderr
    assert not (model / ID).exists()
    accepted("train", *train(data, model))
    assert (model / ID).read_text() == (trained / ID).read_text()
