"""Without a network no program needs TensorFlow."""

import sys

import numpy as np
import pytest
from helpers.models import STATISTICS
from helpers.shell import run

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.statistics import load_statistics_model
from unspeech.kaldi.archives import iterate_arrays


def test_a_model_with_a_network_is_none(tiny_model):
    with pytest.raises(UnspeechError, match=r"embedding_transformation is \w+, a network"):
        load_statistics_model(tiny_model)


def test_a_training_without_a_network_is_logged(statistics_model):
    (line,) = (statistics_model / "train_log.jsonl").read_text().splitlines()
    for name in ("step", "seconds", "loss", "accuracy", "pairs_per_second"):
        assert f'"{name}": ' in line


PROGRAMS = """
import sys
from unspeech import embed, solve, train
data, dir = sys.argv[1:]
feats = ["--feats", f"{data}/feats.scp", "--data", data]
solved = ["--model", f"{dir}/model", "--sums", f"{dir}/sums.npz"]
pooled = ["--contexts", f"{dir}/contexts", "--values", f"{dir}/values.ark"]
iv = ["--model", f"{dir}/new", "--feats", f"{data}/feats.scp"]
for program, words in [
    (train, ["--data", data, "--dir", f"{dir}/model", *SETTINGS]),
    (solve, ["contexts", *feats, "--out", f"{dir}/contexts"]),
    (solve, ["sums", *solved, *feats, *pooled]),
    (solve, ["head", *solved]),
    (solve, ["head", *solved, "--out", f"{dir}/new"]),
    (solve, ["embed", *iv[:2], "--values", f"{dir}/values.scp", "--ark", f"{dir}/a.ark"]),
    (embed, ["ivectors", *iv, "--ark", f"{dir}/i.ark"]),
    (embed, ["ivectors", *iv, "--online", "--ark", f"{dir}/o.ark"]),
    (embed, ["utterances", *iv, "--ark", f"{dir}/e.ark"]),
]:
    sys.argv = ["x", *words]
    program.main()
    for name in ("tensorflow", "keras"):
        assert name not in sys.modules, f"{name}: {words}"
"""


def test_tensorflow_is_never_imported(many_data, tmp_path):
    settings = [str(w) for name, value in STATISTICS.items() for w in (f"--{name}", value)]
    script = f"SETTINGS = {settings!r}{PROGRAMS}"
    done = run(sys.executable, "-c", script, many_data, tmp_path)
    assert done.returncode == 0, done.stderr
    a, e = (dict(iterate_arrays(tmp_path / f"{name}.scp")) for name in "ae")
    for name, vector in e.items():
        np.testing.assert_allclose(a[name], vector, atol=1e-5)
