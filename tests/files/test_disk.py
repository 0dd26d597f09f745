"""No space, or no permission, to write: an error that says so, and nothing half-written."""

import resource

import pytest
from helpers.models import tiny_options
from helpers.programs import call, call_fails, run_with_little_space

NOWHERE = "/sys/unspeech"  # where not even root may make a directory


@pytest.mark.parametrize("program", ["train", "embed", "cluster", "evaluate", "join_scps"])
def test_no_permission_to_write(program, tiny_data, tiny_model, tmp_path):
    feats = tiny_data / "feats.scp"
    options = {
        "train": ["--data", tiny_data, "--dir", NOWHERE, *tiny_options()],
        "embed": ["ivectors", "--feats", feats, "--model", tiny_model, "--ark", f"{NOWHERE}/i.ark"],
        "cluster": ["--embeddings", feats, "--out", NOWHERE],
        "evaluate": [
            *("--embeddings", feats, "--utt2spk", tiny_data / "utt2spk", "--out", NOWHERE)
        ],
        "join_scps": ["--out", f"{NOWHERE}/feats.scp", feats],
    }[program]
    message = call_fails(program, *options)
    assert NOWHERE in message
    assert "no permission" in message


def test_no_space_for_embeddings(tiny_data, tiny_model, tmp_path):
    ark = tmp_path / "embedding.ark"
    options = ["utterances", "--feats", tiny_data / "feats.scp", "--model", tiny_model]
    run = run_with_little_space("embed", *options, "--ark", ark, limit=400)
    assert run.returncode == 1
    assert "free some space" in run.stderr
    assert not list(tmp_path.iterdir())


def test_no_space_for_a_model_and_then_enough(tiny_data, tmp_path):
    model = tmp_path / "model"
    settings = tiny_options(fc_size=256, num_steps=5)  # larger than the limit below
    options = ["--data", tiny_data, "--dir", model, *settings]
    run = run_with_little_space("train", *options, limit=100_000)
    assert run.returncode == 1
    assert "free some space" in run.stderr
    assert not (model / "model.weights.h5").exists()
    assert not (model / "final.ie.id").exists()
    again = run_with_little_space("train", *options, limit=resource.RLIM_INFINITY)
    assert again.returncode == 0, again.stderr
    call("train", "--data", tiny_data, "--dir", tmp_path / "other", *settings)
    ids = [(folder / "final.ie.id").read_text() for folder in (model, tmp_path / "other")]
    assert ids[0] == ids[1]
