"""Checkpoints of the original: what it computed is what the imported model computes.

The golden data are the original's own; the other checkpoints come from networks written here in
TensorFlow 1 operations, with the names that the original gave its variables.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from helpers.data import assert_close
from helpers.programs import call, call_fails
from helpers.tf1_networks import (
    DIM,
    EMBEDDING,
    FC,
    FRAMES,
    baseline_dnn,
    dense_net,
    dynamic_bilstm,
    forward_lstm,
    learnt_filters_and_vgg16,
    resnet_small,
    resnet_small_flat,
    static_bilstm,
    vgg16,
    vgg16big,
    write_checkpoint,
    write_params,
)

from unspeech.network.model import load_model


@pytest.fixture
def golden() -> Path:
    folder = Path(os.environ.get("UNSPEECH_CORPORA") or "/nonexistent").parent / "golden/vgg16"
    if not folder.is_dir():
        pytest.skip("there is no golden data beside the folder that UNSPEECH_CORPORA names")
    return folder


def test_golden_checkpoint(golden, tmp_path):
    call(
        "import_tf1", golden / "tf10-12", tmp_path / "model",
        *("--embedding_transformation", "Vgg16", "--window_length", 64, "--window_neg_length", 64),
        *("--fc_size", 64, "--embedding_size", 20),
        "--unit_normalize_var", "--tied_embeddings_transforms",
    )  # fmt: skip
    model = load_model(tmp_path / "model")
    expected = np.load(golden / "expected.npz")
    targets = model.embed_targets(expected["target_windows"])
    contexts = model.embed_contexts(expected["context_windows"])
    logits = tf.reduce_sum(targets * contexts, axis=1, keepdims=True)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=expected["labels"], logits=logits)
    for computed, name in (
        (targets, "target_embeddings"),
        (contexts, "context_embeddings"),
        (logits, "logits"),
        (tf.sigmoid(logits), "probabilities"),
        (tf.reduce_mean(loss), "loss"),
    ):
        assert_close(computed, expected[name])


def assert_imported(model_dir: Path, windows, expected) -> None:
    model = load_model(model_dir)
    for embed, window, wanted in zip(
        (model.embed_targets, model.embed_contexts), windows, expected, strict=True
    ):
        assert_close(embed(window), wanted)


@pytest.mark.parametrize(
    ("name", "encoder", "network", "settings"),
    [
        ("Vgg16", vgg16, {"optimizer": True}, {}),
        ("Vgg16", vgg16, {"tied": False}, {}),
        ("Vgg16", vgg16, {"tied": False, "tied_heads": True}, {"dropout_keep_prob": 0.5}),
        ("Vgg16", vgg16, {"tied_heads": True, "unit_normalize": True}, {"unit_normalize": True}),
        ("Vgg16bigB", vgg16big, {"hidden": 2}, {}),
        ("DenseNet", dense_net, {}, {}),
        ("BaselineDnn", baseline_dnn, {}, {}),
        ("Static_LSTM", forward_lstm, {}, {}),
        ("Static_biLSTM", static_bilstm, {"tied": False}, {}),
        ("Dynamic_LSTM", forward_lstm, {}, {}),
        ("Dynamic_biLSTM", dynamic_bilstm, {}, {}),
        ("Resnet_v2_50_small", resnet_small, {}, {}),
        ("Resnet_v2_50_small_flat", resnet_small_flat, {}, {}),
    ],
)
def test_imported_networks_compute_the_same(name, encoder, network, settings, tmp_path, capsys):
    windows, expected = write_checkpoint(tmp_path / "tf10", encoder, (FRAMES, DIM), **network)
    settings = settings | {
        "embedding_transformation": name,
        "tied_embeddings_transforms": network.get("tied", True),
        "tied_final_embeddings_transforms": network.get("tied_heads", False),
    }
    write_params(tmp_path / "tf10params", **settings)
    call("import_tf1", tmp_path / "tf10-1", tmp_path / "model")
    assert f"with the settings of {tmp_path / 'tf10params'}" in capsys.readouterr().out
    assert_imported(tmp_path / "model", windows, expected)


@pytest.mark.parametrize("tied", [True, False])
def test_filter_banks_were_never_tied(tied, tmp_path):
    shape = (1100, 1)
    network = {"tied": tied}
    windows, expected = write_checkpoint(
        tmp_path / "tf10", learnt_filters_and_vgg16, shape, **network
    )
    end_to_end = {"filter_sizes": "64,128", "num_filters": 24, "end_to_end": True}
    lengths = {"window_length": 1100, "window_neg_length": 1100}
    write_params(
        tmp_path / "p", feat_size=40, tied_embeddings_transforms=tied, **end_to_end, **lengths
    )
    call("import_tf1", tmp_path / "tf10-1", tmp_path / "model", "--params", tmp_path / "p")
    assert_imported(tmp_path / "model", windows, expected)


def test_settings_from_options_and_from_the_checkpoint(tmp_path):
    prefix = tmp_path / "tf10"
    windows, expected = write_checkpoint(prefix, vgg16, (FRAMES, DIM), tied=False, tied_heads=True)
    options = ["--embedding-transformation", "Vgg16", "--feat_size", DIM]
    message = call_fails("import_tf1", f"{prefix}-1", tmp_path / "model", *options)
    assert "give --window-length" in message
    call("import_tf1", f"{prefix}-1", tmp_path / "model", *options, "--window-length", FRAMES)
    assert_imported(tmp_path / "model", windows, expected)
    config = yaml.safe_load((tmp_path / "model" / "config.yaml").read_text())
    assert config["fc_size"] == FC
    assert config["embedding_size"] == EMBEDDING
    assert not config["tied_embeddings_transforms"]
    assert config["tied_final_embeddings_transforms"]
    message = call_fails("import_tf1", f"{prefix}-1", tmp_path / "model", *options)
    assert f"{tmp_path / 'model'} holds a model already" in message


def test_what_does_not_fit_is_named(tmp_path):
    prefix = f"{tmp_path / 'tf10'}-1"
    write_checkpoint(tmp_path / "tf10", vgg16, (FRAMES, DIM))
    write_params(tmp_path / "tf10params")

    def message(*options):
        return call_fails("import_tf1", prefix, tmp_path / "model", *options)

    wrong = message("--embedding_size", "7")
    name = "embedding-transform-0/fully_connected_1/weights"
    assert f"{name} has shape [12, 6], by the settings [12, 7]" in wrong
    assert "conv1" not in wrong
    missing = message("--embedding_transformation", "Vgg16bigB")
    assert "embedding-transform/conv5/conv5_3/biases [512] is missing" in missing
    assert "embedding-transform-1/fully_connected_2/weights [12, 6] is missing" in missing
    assert "out_scaler [] has no use" in message("--unit_normalize_var", "false")
    untied = message("--tied_embeddings_transforms", "false")
    assert "embedding-transform-1/conv1/conv1_1/weights [3, 3, 1, 16] is missing" in untied
    assert "embedding-transform/conv1/conv1_1/weights [3, 3, 1, 16] has no use" in untied
    assert "HighwayDnn: its checkpoints cannot be read" in message(
        "--embedding_transformation", "HighwayDnn"
    )
    assert not (tmp_path / "model").exists()


def test_bad_input(tmp_path):
    out = tmp_path / "model"
    assert "no readable checkpoint; give its prefix" in call_fails(
        "import_tf1", tmp_path / "none-1", out, "--window_length", 64
    )
    write_checkpoint(tmp_path / "tf10", baseline_dnn, (FRAMES, DIM))
    path = tmp_path / "params"
    options = [tmp_path / "tf10-1", out, "--params", path]
    assert f"{path}: no such file" in call_fails("import_tf1", *options)
    path.write_text("nothing\n")
    assert f"{path}: no lines such as 'window_length=64'" in call_fails("import_tf1", *options)
