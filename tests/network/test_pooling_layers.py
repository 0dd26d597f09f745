"""Statistics pooling in networks: as without one, stored with the model, under a solved head."""

import json

import numpy as np
import pytest
import yaml
from helpers.data import assert_close
from helpers.models import TINY
from helpers.shell import STEPS, run

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.values import NetworkValues
from unspeech.embedding.windows import UtterancePooler, WindowEmbedder, window_embedder
from unspeech.kaldi.archives import iterate_arrays
from unspeech.network.config_files import make_config
from unspeech.network.model import UnspeechModel
from unspeech.network.pooling import STATISTICS, StatisticsPooling, cosine_transform
from unspeech.network.pooling_layers import AttentiveStatistics, Statistics

SMALL = {
    "embedding_transformation": "TDNN", "tdnn_channels": 16, "pooled_channels": 12, "fc_size": 0,
    "embedding_size": 8, "pooling": ",".join(STATISTICS), "correlation_channels": 5,
    "feature_statistics": True, "batch_normalization": True, "batch_normalization_decay": 0.5,
    "window_length": 60, "window_neg_length": 60, "context_sampling": "recording",
    "left_contexts": 0, "right_contexts": 1,
}  # fmt: skip


def model_of(**settings):
    return UnspeechModel(make_config(SMALL | settings, "test"))


def frames_of(count, dim=40, seed=0):
    return np.random.default_rng(seed).normal(10, 3, (count, dim)).astype(np.float32)


@pytest.mark.parametrize("names", [*((name,) for name in STATISTICS), STATISTICS])
@pytest.mark.parametrize("fixed", [True, False])
def test_a_layer_pools_as_sums_do(names, fixed):
    layer = Statistics(names, 6, fixed)
    windows = np.stack([frames_of(50, 9, seed) for seed in range(3)])
    layer.build(windows.shape)
    pooled = np.asarray(layer(windows))
    assert pooled.shape == layer.compute_output_shape(windows.shape)
    kernel = np.asarray(getattr(layer, "kernel", cosine_transform(6, 9)))
    if fixed:
        assert_close(kernel, cosine_transform(6, 9))
    same = StatisticsPooling(9, names, kernel)
    whole = np.array([0, 50])
    for window, values in zip(windows, pooled, strict=True):
        assert_close(values, same.values(same.sums(window, whole))[0])


def test_attention_weighs_mean_and_deviation_only():
    layer, plain = AttentiveStatistics(STATISTICS, 4), Statistics(STATISTICS, 4, fixed=False)
    values = frames_of(30, 6)[None]
    layer.build((1, 30, 12))
    plain.build((1, 30, 6))
    plain.kernel.assign(layer.weights[0])
    alike = np.asarray(layer(np.concatenate([values, np.zeros_like(values)], axis=-1)))
    assert_close(alike, np.asarray(plain(values)))
    scores = np.where(np.arange(30) < 10, 50, 0)[None, :, None] * np.ones_like(values)
    weighted = np.asarray(layer(np.concatenate([values, scores], axis=-1)))
    assert_close(weighted[:, :6], values[:, :10].mean(axis=1))
    assert_close(weighted[:, 12:], alike[:, 12:])


@pytest.mark.parametrize("encoder", ["TDNN", "ECAPA"])
def test_statistics_of_features_stand_beside_those_of_outputs(encoder):
    model = model_of(embedding_transformation=encoder)
    frames = frames_of(60)
    starts = np.array([0])
    values = window_embedder(model, both_heads=False, pooled=True).embed(frames, starts)[0]
    assert len(values) == model.target_encoder.width
    features = StatisticsPooling(40, STATISTICS, cosine_transform(5, 40))
    outputs, stride = model.target_encoder.outputs, model.target_encoder.stride
    margin = (60 - (outputs - 1) * stride - stride) // 2
    middle = frames[margin : margin + outputs * stride]
    expected = features.values(features.sums(middle, np.array([0, len(middle)])))[0]
    assert_close(values[-features.width :], expected)
    without = model_of(embedding_transformation=encoder, feature_statistics=False)
    assert without.target_encoder.width == len(values) - features.width


@pytest.mark.parametrize("encoder", ["TDNN", "ECAPA"])
def test_one_pass_gives_what_window_by_window_gives(encoder):
    model = model_of(embedding_transformation=encoder)
    model.embed_batch(
        *(np.stack([frames_of(60, seed=s) for s in (1, 2)]).reshape(2, *shape, 60, 40)
          for shape in ((), (1,))), dropout_seed=np.array([1, 1], np.int32),
    )  # fmt: skip
    frames, starts = frames_of(150), np.array([0, 1, 7, 44, 90])
    each = WindowEmbedder(model, both_heads=False).embed(frames, starts)
    once = window_embedder(model, both_heads=False).embed(frames, starts)
    assert_close(once, each)


def test_an_utterance_is_pooled_whole_and_its_windows_side_by_side(monkeypatch):
    model = model_of()
    encoder, pooler = model.target_encoder, UtterancePooler(model)
    window, stride = encoder.outputs, encoder.stride
    for frames, windows in ((60, 1), (70, 2), (60 + 3 * window * stride, 4)):
        features = frames_of(frames)
        values, cut = pooler.pool(features)
        outputs = model.frame_outputs(features[None])
        assert_close(values, encoder.pooling(outputs)[0])
        assert len(cut) == windows
        assert_close(cut[0], encoder.pooling(outputs[:, :window])[0])
        if windows != 1:
            assert_close(cut[-1], encoder.pooling(outputs[:, -window:])[0])
    monkeypatch.setattr("unspeech.embedding.windows.PIECE_FRAMES", window)
    pieces, cut = pooler.pool(features)
    assert_close(pieces, cut.mean(axis=0))
    (short,) = NetworkValues(model).pooled([("u", features[:45])], lambda name: True)
    assert np.isfinite(short.values).all()
    assert len(short.windows) == 1


def test_normalisation_learns_from_training_batches_only():
    model = model_of()
    mean = model.target_encoder.norm.moving_mean
    windows = np.stack([frames_of(60, seed=seed) for seed in range(4)])
    model.embed_batch(windows[:2], windows[2:, None])
    assert not np.asarray(mean).any()
    model.embed_batch(windows[:2], windows[2:, None], dropout_seed=np.array([1, 1], np.int32))
    assert np.asarray(mean).any()


def test_a_statistic_that_there_is_not_is_refused():
    with pytest.raises(UnspeechError, match="pooling is 'mean,median'"):
        model_of(pooling="mean,median")


def test_a_network_is_trained_stored_and_gets_a_solved_head(tiny_data, tmp_path):
    settings = TINY | SMALL | {
        "objective": "infonce", "unit_normalize": True, "normalize_input": True,
        "learn_rate": 0.003, "num_steps": 4, "steps_per_checkpoint": 2, "solve_head": True,
        "embedding_size": 6,
    }  # fmt: skip
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    model = tmp_path / "model"
    done = run(STEPS / "train.sh", "--config", config, tiny_data, model)
    assert done.returncode == 0, done.stderr
    losses = [json.loads(line)["loss"] for line in (model / "train_log.jsonl").open()]
    assert np.isfinite(losses).all()
    width = model_of().target_encoder.width
    assert f"Solved a head of 6 of {width} directions from 24 utterances" in done.stdout
    done = run(STEPS / "embed_utterances.sh", tiny_data, model, tmp_path / "emb")
    assert done.returncode == 0, done.stderr
    vectors = dict(iterate_arrays(tmp_path / "emb/embedding.scp"))
    assert len(vectors) == len((tiny_data / "feats.scp").read_text().splitlines())
    assert all(len(vector) == 6 for vector in vectors.values())
