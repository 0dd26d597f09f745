"""Extraction: rows over time, vectors of utterances, bad input."""

import json

import kaldiio
import numpy as np
import pytest
import tensorflow as tf
from helpers.data import assert_close, noise, voices, write_features
from helpers.models import TINY, tiny_options
from helpers.programs import call, call_fails

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.embedder import Embedder
from unspeech.embedding.rows import RowOptions, check_row_options, unit_mean
from unspeech.network.config_files import make_config
from unspeech.network.model import load_model


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(tiny_model)


@pytest.mark.parametrize("period", [1, 7, 10, 500])
def test_one_row_a_period_whatever_the_length(model, period):
    lengths = [1, 2, 9, 10, 11, 15, 16, 17, 100, 101]
    utterances = [(f"u{n}", noise(n)) for n in lengths]
    rows = dict(Embedder(model, RowOptions(genfeat_stride=period)).rows(utterances))
    assert list(rows) == [name for name, _ in utterances], "none is lost, order is kept"
    for n in lengths:
        assert rows[f"u{n}"].shape == (-(-n // period), 8)
        assert np.isfinite(rows[f"u{n}"]).all()


def test_row_is_its_window_and_the_last_is_repeated(model):
    features = noise(45)
    ((_, rows),) = Embedder(model, RowOptions(genfeat_stride=10)).rows([("u", features)])
    for row, start in enumerate([0, 10, 20]):
        expected = model.embed_targets(features[None, start : start + 16]).numpy()[0]
        assert_close(rows[row], expected)
    np.testing.assert_array_equal(rows[3], rows[2])  # frames 30 to 45 hold no whole window
    np.testing.assert_array_equal(rows[4], rows[2])


def test_short_utterance_is_repeated_to_fill_a_window(model):
    features = noise(6)
    ((_, rows),) = Embedder(model, RowOptions(genfeat_stride=10)).rows([("u", features)])
    filled = np.concatenate([features, features, features])[None, :16]
    assert_close(rows[0], model.embed_targets(filled).numpy()[0])


def test_an_utterance_does_not_depend_on_its_neighbours_in_the_batch(model):
    features = noise(300)
    ((_, alone),) = Embedder(model, RowOptions(genfeat_stride=5)).rows([("u", features)])
    crowd = [(f"v{i}", noise(200 + i, seed=i + 1)) for i in range(400)]  # several chunks
    together = dict(
        Embedder(model, RowOptions(genfeat_stride=5)).rows(
            [*crowd[:200], ("u", features), *crowd[200:]]
        )
    )
    assert_close(together["u"], alone)
    assert len(together) == 401


def test_ivectors_program(tiny_model, tiny_data, tmp_path):
    ark = tmp_path / "ivector_online.1.ark"
    options = ["--feats", tiny_data / "feats.scp", "--model", tiny_model, "--ark", ark]
    call("embed", "ivectors", *options, "--period", "5")
    features = kaldiio.load_scp(str(tiny_data / "feats.scp"))
    ivectors = kaldiio.load_scp(str(tmp_path / "ivector_online.1.scp"))
    assert list(ivectors) == list(features)
    for name, matrix in features.items():
        assert ivectors[name].shape == (-(-len(matrix) // 5), 8)


def test_utterances_program_tells_made_up_speakers_apart(tiny_model, tiny_data, tmp_path):
    ark = tmp_path / "embedding.ark"
    options = ["--feats", tiny_data / "feats.scp", "--model", tiny_model, "--ark", ark]
    call("embed", "utterances", *options)
    vectors = kaldiio.load_scp(str(tmp_path / "embedding.scp"))
    names = list(vectors)
    stacked = np.array([vectors[name] for name in names])
    assert_close(np.linalg.norm(stacked, axis=1), 1)
    cosine = stacked @ stacked.T
    same = np.array([[a[:2] == b[:2] for b in names] for a in names])
    off_diagonal = ~np.eye(len(names), dtype=bool)
    assert cosine[same & off_diagonal].mean() > cosine[~same].mean() + 0.1


def test_a_vector_is_the_mean_over_windows_that_overlap_by_half(tiny_model, tmp_path):
    model, length = load_model(tiny_model), 16
    features = {f"u{n}": noise(n, seed=n) for n in (12, 16, 30, 63)}
    data = write_features(tmp_path / "data", features)
    options = ["--feats", data / "feats.scp", "--model", tiny_model]
    call("embed", "utterances", *options, "--ark", tmp_path / "embedding.ark")
    vectors = kaldiio.load_scp(str(tmp_path / "embedding.scp"))
    for name, frames in features.items():
        whole = np.resize(frames, (max(length, len(frames)), 40))  # a short one is repeated
        windows = [whole[i : i + length] for i in range(0, len(whole) - length + 1, length // 2)]
        embedded = model.embed_targets(np.stack(windows)).numpy()
        assert_close(vectors[name], unit_mean(embedded))


def test_unit_mean():
    np.testing.assert_allclose(unit_mean(np.array([[3.0, 0], [3, 8]])), [0.6, 0.8])


def test_bad_period(model):
    with pytest.raises(UnspeechError, match="genfeat_stride must be at least 1"):
        Embedder(model, RowOptions(genfeat_stride=0))


def test_bad_input_leaves_nothing_under_a_final_name(tiny_model, tmp_path):
    ark = tmp_path / "out" / "embedding.ark"
    good = voices(2, 2)
    bad = dict(good)
    bad["s1-u0"] = np.full((50, 40), np.inf, np.float32)
    data = write_features(tmp_path / "inf", bad)
    common = ["utterances", "--model", tiny_model, "--ark", ark]
    message = call_fails("embed", *common, "--feats", data / "feats.scp")
    assert "feats.scp: utterance 's1-u0': NaN or infinite value in frame 0" in message

    data = write_features(tmp_path / "mfcc", {name: f[:, :13] for name, f in good.items()})
    message = call_fails("embed", *common, "--feats", data / "feats.scp")
    assert "features have 13 dimensions, the model expects 40" in message

    data = write_features(tmp_path / "cut", good)
    whole = (data / "feats.ark").read_bytes()
    (data / "feats.ark").write_bytes(whole[:-100])
    message = call_fails("embed", *common, "--feats", data / "feats.scp")
    assert "utterance 's1-u1': cannot read" in message
    assert "truncated" in message
    assert "feats.ark: after utterance" in call_fails(
        "embed", *common, "--feats", data / "feats.ark"
    )

    (data / "feats.ark").unlink()
    assert "no such file" in call_fails("embed", *common, "--feats", data / "feats.scp")
    message = call_fails("embed", *common, "--feats", tmp_path / "none.scp")
    assert "none.scp: no such file" in message
    assert not list(ark.parent.glob("*"))


def test_incomplete_or_damaged_model(tiny_data, tiny_model, tmp_path):
    options = ["utterances", "--feats", tiny_data / "feats.scp", "--ark", tmp_path / "e.ark"]
    message = call_fails("embed", *options, "--model", tmp_path)
    assert "config.yaml: no such file; train the model first" in message
    for name in ("config.yaml", "final.ie.id"):
        (tmp_path / name).write_bytes((tiny_model / name).read_bytes())
    (tmp_path / "model.weights.h5").write_bytes(b"not weights")
    assert "is damaged" in call_fails("embed", *options, "--model", tmp_path)


def rows_of(model, features, **options):
    ((_, rows),) = Embedder(model, RowOptions(**options)).rows([("u", features)])
    return rows


def windows_of(features, starts, length=16):
    return np.stack([features[s : s + length] for s in starts])


def test_padding_options(model):
    features = noise(45)
    extended = np.concatenate([features, np.repeat(features[-1:], 15, axis=0)])
    expected = model.embed_targets(windows_of(extended, range(0, 45, 5))).numpy()
    rows = rows_of(model, features, genfeat_stride=5, kaldi_normalize_to_input_length=True)
    assert_close(rows, expected)
    unpadded = rows_of(
        model, features, genfeat_stride=5, genfeat_interpolate_outputlength_padding=False
    )
    assert_close(unpadded, expected[:6])  # starts 0 to 25


def test_combined_contexts_features_and_mean(model):
    features = noise(60)
    plain = rows_of(model, features)
    contexts = model.embed_contexts(windows_of(features, range(0, 41, 10))).numpy()
    both = rows_of(model, features, genfeat_combine_contexts=True)
    assert_close(both[:, :8], plain)
    assert_close(both[:5, 8:], contexts)
    with_fbank = rows_of(model, features, genfeat_combine_fbank=True)
    np.testing.assert_array_equal(with_fbank[:, :40], features[::10])
    assert_close(with_fbank[:, 40:], plain)
    mean = rows_of(model, features, genfeat_kaldi_meannorm=True)
    assert_close(mean, np.tile(unit_mean(plain), (6, 1)))
    vector = rows_of(model, features, generate_speaker_vectors=True)
    assert_close(vector, plain.mean(axis=0, keepdims=True))
    boosted = rows_of(model, features, genfeat_boost=True)
    factor = 10 / (abs(plain.min()) + abs(plain.max()) / 2)
    assert_close(boosted, plain * factor)


def test_segmentation_says_how_well_windows_go_together(model):
    features = noise(80)
    both = rows_of(model, features, genfeat_stride=8, genfeat_combine_contexts=True)
    rows = rows_of(model, features, genfeat_stride=8, generate_fbank_segmentation=True)
    np.testing.assert_array_equal(rows[:2, 8], 0)
    logit = (both[3, :8] * both[5, 8:]).sum()  # rows two strides of 8 frames apart: one window
    assert_close(rows[5, 8], tf.sigmoid(logit))
    logit = (both[1, :8] * both[5, 8:]).sum()
    assert_close(rows[5, 9], tf.sigmoid(logit))
    with pytest.raises(UnspeechError, match="not a multiple of genfeat_stride 10"):
        rows_of(model, features, generate_fbank_segmentation=True)
    given = RowOptions(genfeat_stride=8, generate_fbank_segmentation=True)
    config = make_config(TINY | {"objective": "infonce"}, "test")
    with pytest.raises(UnspeechError, match="the objective logistic and use_dot_combine alone"):
        check_row_options(given, config)


def test_long_utterances_are_cut_and_joined(model):
    crowd = [(f"u{i}", noise(50 + 7 * i, seed=i)) for i in range(12)]
    whole = dict(Embedder(model, RowOptions(genfeat_stride=3)).rows(crowd))
    pieces = dict(Embedder(model, RowOptions(genfeat_stride=3, genfeat_max_length=40)).rows(crowd))
    assert list(whole) == list(pieces)
    for name, rows in whole.items():
        assert_close(pieces[name], rows)


def test_output_formats(tiny_model, tiny_data, tmp_path):
    common = ["ivectors", "--feats", tiny_data / "feats.scp", "--model", tiny_model]
    call("embed", *common, "--ark", tmp_path / "bin.ark")
    call("embed", *common, "--ark", tmp_path / "text.ark", "--output-feat-format", "kaldi_text")
    for name in ("ivector_period", "final.ie.id"):
        (tmp_path / name).unlink()
    call("embed", *common, "--ark", tmp_path / "fea", "--output_feat_format", "unsup_challenge2017")
    assert not (tmp_path / "ivector_period").exists(), "nothing beside the folder"
    assert not (tmp_path / "final.ie.id").exists()
    binary = kaldiio.load_scp(str(tmp_path / "bin.scp"))
    text = kaldiio.load_scp(str(tmp_path / "text.scp"))
    assert {path.suffix for path in (tmp_path / "fea").iterdir()} == {".fea"}
    assert (tmp_path / "text.ark").read_text().startswith("s0-u0  [")
    for name, rows in binary.items():
        assert_close(text[name], rows)
        lines = np.loadtxt(tmp_path / "fea" / f"{name}.fea")
        assert_close(lines[:, 0], 0.08 + 0.1 * np.arange(len(rows)))
        assert_close(lines[:, 1:], rows)


@pytest.fixture(scope="module")
def dynamic_model(tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dynamic")
    options = {"embedding_transformation": "Dynamic_LSTM", "rnn_hidden_cells": 6, "num_steps": 2}
    call("train", "--data", tiny_data, "--dir", folder, *tiny_options(**options))
    return folder


def test_one_vector_a_unit(tiny_data, dynamic_model, tmp_path, capsys):
    features = kaldiio.load_scp(str(tiny_data / "feats.scp"))
    frames = len(features["s0-u1"])
    ctm = tmp_path / "ali.ctm"
    ctm.write_text(
        "s0-u0 1 0.00 0.12 a\ns0-u0 1 0.12 0.30 b\n"
        f"s0-u1 1 0.50 9.00 c\ns0-u1 1 {frames / 100:.2f} 0.10 d\n"
    )
    options = ["--output-feat-format", "unit_emb", "--ark", tmp_path / "units.ark"]
    common = ["ivectors", "--feats", tiny_data / "feats.scp", *options]
    call("embed", *common, "--model", dynamic_model, "--ali-ctm", ctm)
    others = len(features) - 2
    assert f"Embedded 3 units; {others} utterances" in capsys.readouterr().out
    assert (tmp_path / "units.unaligned").read_text().split() == list(features)[2:]
    model = load_model(dynamic_model)
    windows = [features["s0-u0"][:12], features["s0-u0"][12:42], features["s0-u1"][50:]]
    names = [["s0-u0", "a"], ["s0-u0", "b"], ["s0-u1", "c"]]
    lines = [line.split() for line in (tmp_path / "units.emb").read_text().splitlines()]
    for (*name, vector), expected, window in zip(lines, names, windows, strict=True):
        assert name == expected
        np.testing.assert_allclose(json.loads(vector), model.embed_targets(window[None])[0], 1e-4)


def test_units_need_an_alignment_and_a_dynamic_encoder(tiny_data, tiny_model, tmp_path):
    common = ["ivectors", "--feats", tiny_data / "feats.scp", "--model", tiny_model]
    common += ["--output-feat-format", "unit_emb", "--ark", tmp_path / "units.ark"]
    assert "give the units by --ali-ctm" in call_fails("embed", *common)
    (tmp_path / "ctm").write_text("s0-u0 1 0.00 0.12 a\n")
    message = call_fails("embed", *common, "--ali-ctm", tmp_path / "ctm")
    assert "use a Dynamic_ one" in message
    assert not (tmp_path / "units.emb").exists()


def test_accuracy_on_sampled_pairs(tiny_data, tiny_model, tmp_path, capsys):
    options = ["--feats", tiny_data / "feats.scp", "--model", tiny_model, "--test-perf"]

    def measured(name, *more) -> list[str]:
        call("embed", "utterances", *options, "--ark", tmp_path / f"{name}.ark", *more)
        assert "mean accuracy" in capsys.readouterr().out
        return (tmp_path / f"{name}.sampled_accuracy").read_text().splitlines()

    short = measured("a", "--test-perf-samples", 6)
    assert short[0] == "SUMMARY:"
    assert short[2:4] == ["majority accuracy:0.5", "BATCHES:"]
    batches = [float(line) for line in short[4:]]
    assert len(batches) == 6
    mean = float(short[1].removeprefix("mean accuracy:"))
    assert mean == pytest.approx(np.mean(batches), abs=1e-6)
    assert mean > 0.53
    assert measured("b", "--test-perf-samples", 6) == short
    assert measured("c", "--test-perf-samples", 6, "--seed", 2) != short
    within = measured("d", "--test-perf-samples", 6, "--spk2utt", tiny_data / "spk2utt")
    assert float(within[1].removeprefix("mean accuracy:")) < mean
    assert (tmp_path / "d.scp").exists()


def test_accuracy_needs_two_utterances(tiny_model, tmp_path):
    data = write_features(tmp_path / "data", {"a": noise(100), "b": noise(20)})
    options = ["--feats", data / "feats.scp", "--model", tiny_model, "--ark", tmp_path / "e.ark"]
    message = call_fails("embed", "utterances", *options, "--test-perf")
    assert "test_perf: 1 of 2 utterances hold a target with its contexts" in message
