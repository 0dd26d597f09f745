"""Encoders: each trains, saves, loads and embeds; what is particular to some of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.data import assert_close
from helpers.models import TINY, tiny_options
from helpers.programs import ROOT, call, call_fails

from unspeech.network.config_files import make_config
from unspeech.network.encoders import resnet
from unspeech.network.encoders.table import ENCODERS, make_encoder
from unspeech.network.model import UnspeechModel, load_model
from unspeech.training import trainer


@pytest.fixture
def brief(monkeypatch):
    """Training that spares compiling its step, which takes long for large networks."""
    monkeypatch.setattr(trainer, "HELDOUT_TARGETS", 8)
    monkeypatch.setattr("helpers.programs.STATISTICS_WINDOWS", 32)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def narrow(monkeypatch):
    """Networks of `keras.applications` with an eighth of their channels, as deep as they are."""
    whole = resnet._adapted

    def adapted(network, image, adapt, *pooling):
        def narrower(layer):
            changed = adapt(layer)
            if isinstance(layer, keras.layers.Conv2D):
                changed["filters"] = changed.get("filters", layer.filters) // 8
            return changed

        return whole(network, image, narrower, *pooling)

    monkeypatch.setattr(resnet, "_adapted", adapted)


def settings(name: str, **other):
    small = {"embedding_transformation": name, "rnn_hidden_cells": 8, "normalize_input": False}
    return make_config(TINY | small | other, "test")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


TAKE_LONG = ("Inception_Resnet_v2", "Resnet_v2_50", "Resnet_v2_101")  # Resnet_v2_50_small is alike


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.takes_long] if name in TAKE_LONG else [])
        for name in sorted(ENCODERS)
    ],
)
def test_every_encoder_trains_and_loads(name, tiny_data, tmp_path, brief, narrow):
    frames = 56 if name == "ECAPA" else 6 if "LSTM" in name else 32
    options = tiny_options(
        embedding_transformation=name,
        num_steps=1,
        window_length=frames,
        window_neg_length=frames,
        left_contexts=0 if name == "ECAPA" else 1,
        right_contexts=1,
        batch_size=2,
        rnn_hidden_cells=8,
    )
    call("train", "--data", tiny_data, "--dir", tmp_path, *options)
    windows = 12 + noise(3, frames, 40)
    embeddings = load_model(tmp_path).embed_targets(windows).numpy()
    assert embeddings.shape == (3, 8)
    assert np.isfinite(embeddings).all()
    assert not np.allclose(embeddings[0], embeddings[1])


def test_documented_sizes_are_those_of_the_encoders():
    lines = (ROOT / "docs" / "encoders.md").read_text().splitlines()
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if "| `" in line]
    documented = {row[0]: row[2] for row in rows if len(row) == 5}
    assert sorted(documented) == sorted(ENCODERS)
    for name in ENCODERS:
        if not name.startswith(("Resnet", "Inception", "Highway")):  # these take long to build
            encoder = make_encoder(64, make_config({"embedding_transformation": name}, "test"))
            assert f"{encoder.count_params():,}" == documented[name], name


@pytest.mark.parametrize("name", ["Dynamic_LSTM", "Dynamic_biLSTM"])
def test_dynamic_encoders_ignore_what_follows_a_window(name):
    model = UnspeechModel(settings(name))
    short, long = noise(2, 5, 40), noise(2, 9, 40)
    padded = np.concatenate([short, 100 + noise(2, 4, 40)], axis=1)
    together = model.embed_targets(np.concatenate([padded, long]), np.int32([5, 5, 9, 9]))
    assert_close(together[:2], model.embed_targets(short))
    assert_close(together[2:], model.embed_targets(long))


@pytest.mark.parametrize("tied", [True, False])
def test_windows_of_any_length_in_a_step(tied):
    model = UnspeechModel(settings("Dynamic_biLSTM", tied_embeddings_transforms=tied))
    targets, contexts = noise(2, 5, 40), noise(2, 3, 9, 40)
    lengths = np.int32([4, 5]), np.int32([[9, 1, 2], [3, 4, 5]])
    embedded = model.embed_batch(targets, contexts, *lengths)
    assert_close(embedded[0][0, 0], model.embed_targets(targets[:1, :4])[0])
    if tied:  # contexts are embedded as targets, too
        assert_close(embedded[0][1, 3], model.embed_targets(contexts[1, 2:, :5])[0])
    expected = model.embed_contexts(contexts[1, 2:, :5])[0]
    assert_close(embedded[1][1, 2], expected)


def test_static_bilstm_gives_the_outputs_at_the_last_frame():
    encoder = make_encoder(16, settings("Static_biLSTM"))
    both = keras.layers.Bidirectional(keras.layers.LSTM(8, return_sequences=True))
    both.build((None, 16, 40))
    both.set_weights(encoder.get_weights())
    windows = noise(3, 16, 40)
    assert_close(encoder(windows), both(windows)[:, -1])


def test_vgg16bigb_has_one_more_layer_in_its_heads():
    options = {"window_length": 32, "window_neg_length": 32}
    heads = [
        UnspeechModel(settings(name, **options)).target_head for name in ("Vgg16big", "Vgg16bigB")
    ]
    shapes = [[tuple(weight.shape) for weight in head.weights] for head in heads]
    assert shapes[0] == [(512, 16), (16,), (16, 8), (8,)]
    assert sorted(shapes[1]) == sorted([*shapes[0], (16, 16), (16,)])


def test_settings_of_the_small_encoders():
    convolutions = [
        layer.kernel.shape
        for layer in make_encoder(
            16,
            settings(
                "DenseNet",
                dense_block_filters=6,
                dense_block_layers_connected=2,
                dense_block_filters_transition=3,
            ),
        ).layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    channels = [(1, 6), (6, 6), (12, 6), (6, 3), (3, 6), (6, 6), (12, 6)]
    assert convolutions == [(3, 3, *pair) for pair in channels]
    baseline = make_encoder(16, settings("BaselineDnn", num_dnn_layers=2))
    assert [w.shape for w in baseline.weights] == [(640, 16), (16,), (16, 16), (16,)]
    highway = make_encoder(16, settings("HighwayDnn", num_highway_layers=2))
    assert len(highway.weights) == 2 + 2 * 4
    assert highway.output_shape == (None, 64)


def test_batch_normalization_learns_averages_and_goes_on_from_a_checkpoint(
    tiny_data, tmp_path, brief
):
    options = {"batch_normalization": "true", "batch_normalization_decay": 0.5}
    options["embedding_transformation"] = "Vgg16"
    options["steps_per_checkpoint"] = 2
    for steps in (2, 4):
        arguments = tiny_options(num_steps=steps, **options)
        call("train", "--data", tiny_data, "--dir", tmp_path / "two", *arguments)
    call(
        "train",
        "--data",
        tiny_data,
        "--dir",
        tmp_path / "one",
        *tiny_options(num_steps=4, **options),
    )
    ids = [(tmp_path / name / "final.ie.id").read_text() for name in ("one", "two")]
    assert ids[0] == ids[1]
    model = load_model(tmp_path / "one")
    averages = [w.numpy() for w in model.weights if w.name == "moving_mean"]
    assert len(averages) == 10
    assert all(np.abs(average).max() > 0 for average in averages)
    windows = noise(3, 16, 40)
    assert_close(model.embed_targets(windows)[:1], model.embed_targets(windows[:1]))


@pytest.mark.parametrize("force", [False, True])
def test_force_resnet_istraining_makes_embeddings_depend_on_the_batch(force):
    options = {"window_length": 32, "window_neg_length": 32, "force_resnet_istraining": force}
    model = UnspeechModel(settings("Resnet_v2_50_small", **options))
    windows = noise(3, 32, 40)
    together, alone = model.embed_targets(windows)[0], model.embed_targets(windows[:1])[0]
    change = np.abs(together - alone).max() / np.abs(together).max()
    assert change > 0.01 if force else change < 1e-4


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_normalization_decay": 1}, "decay takes a finite number, at least 0"),
        ({"num_dnn_layers": 0}, "num_dnn_layers takes an integer, at least 1"),
        ({"embedding_transformation": "DenseNet", "window_length": 8, "window_neg_length": 8},
         "DenseNet cannot take windows of 8 frames"),
    ],
)  # fmt: skip
def test_bad_settings_of_encoders(options, expected, tiny_data, tmp_path):
    arguments = ["--data", tiny_data, "--dir", tmp_path, *tiny_options(**options)]
    assert expected in call_fails("train", *arguments)
