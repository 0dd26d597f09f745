"""Models on waveforms: a learnt filter bank in place of FBANK."""

import keras
import numpy as np
import pytest
import soundfile
from helpers.data import assert_close
from helpers.models import TINY, tiny_options
from helpers.programs import call, call_fails
from helpers.shell import STEPS, run

from unspeech.audio.decoding import wav_bytes
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table, write_table
from unspeech.network.config_files import make_config
from unspeech.network.encoders.table import make_encoder
from unspeech.network.frontend import filter_bank
from unspeech.network.inputs import load_waveforms
from unspeech.network.model import load_model

RATE = 8000
SETTINGS = {
    "end_to_end": "true",
    "sample_rate": RATE,
    "filter_sizes": 64,
    "num_filters": 20,
    "window_length": 800,
    "window_neg_length": 800,
    "num_steps": 10,
    "steps_per_checkpoint": 10,
    "embedding_transformation": "Vgg16",
}


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """A data directory with segments: each speaker a chord, with noise."""
    data = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(3)
    recordings, segments = {}, {}
    for recording in range(6):
        seconds = np.arange(2 * RATE) / RATE
        chord = sum(np.sin(2 * np.pi * f * seconds) for f in rng.uniform(100, 3000, 3))
        samples = 0.2 * chord + 0.02 * rng.normal(size=len(seconds))
        (data / f"r{recording}.wav").write_bytes(wav_bytes(samples, RATE))
        recordings[f"r{recording}"] = data / f"r{recording}.wav"
        segments[f"r{recording}-a"] = f"r{recording} 0 0.9"
        segments[f"r{recording}-b"] = f"r{recording} 1.0 1.95"
    write_table(data / "wav.scp", recordings)
    write_table(data / "segments", segments)
    write_table(data / "utt2spk", {name: name.split("-")[0] for name in segments})
    return data


@pytest.fixture(scope="module")
def model(audio, tmp_path_factory):
    model = tmp_path_factory.mktemp("exp") / "model"
    call("train", "--data", audio, "--dir", model, *tiny_options(**SETTINGS))
    return model


def test_corpus_of_waveforms(audio):
    corpus = load_waveforms(audio, RATE)
    assert corpus.utterances == list(read_table(audio / "segments"))
    assert corpus.lengths.tolist() == [int(0.9 * RATE), int(1.95 * RATE) - RATE] * 6
    samples, _ = soundfile.read(audio / "r1.wav", dtype="float32")
    np.testing.assert_array_equal(corpus.features(3)[:, 0], samples[RATE : int(1.95 * RATE)])


def test_training_and_extraction(audio, model, tmp_path, capsys):
    config = load_model(model).config
    assert (config.end_to_end, config.input_size, config.input_rate) == (True, 1, RATE)
    common = ["--feats", audio / "segments", "--data", audio, "--model", model]
    call("embed", "ivectors", *common, "--period", 10, "--ark", tmp_path / "i.ark")
    assert "a row every 800 frames" in capsys.readouterr().out
    rows = dict(iterate_arrays(tmp_path / "i.scp"))
    assert list(rows) == list(read_table(audio / "segments"))
    assert {name[-1]: matrix.shape for name, matrix in rows.items()} == {"a": (9, 8), "b": (10, 8)}
    call("embed", "utterances", *common, "--ark", tmp_path / "u.ark")
    vectors = np.stack([vector for _, vector in iterate_arrays(tmp_path / "u.scp")])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    likeness = vectors @ vectors.T
    same = np.mean([likeness[2 * i, 2 * i + 1] for i in range(6)])
    assert same > likeness[~np.eye(12, dtype=bool)].mean()


def test_picture_of_the_learnt_filters(model, tmp_path, capsys):
    call("show_feats", "--mode", "filters", "-i", model, "--out", tmp_path / "filters.png")
    assert "20 filters of 64 samples" in capsys.readouterr().out
    assert (tmp_path / "filters.png").read_bytes().startswith(b"\x89PNG")


def test_some_utterances_of_a_job(audio, model, tmp_path):
    write_table(tmp_path / "job.scp", {"r4-b": "x", "r1-a": "x"})
    common = ["--feats", tmp_path / "job.scp", "--model", model, "--ark", tmp_path / "i.ark"]
    call("embed", "ivectors", *common, "--data", audio)
    assert list(read_table(tmp_path / "i.scp")) == ["r1-a", "r4-b"]
    assert "give the data directory by --data" in call_fails("embed", "ivectors", *common)


def test_steps_take_the_audio_of_a_data_directory(audio, model, tmp_path):
    options = " ".join(tiny_options(**SETTINGS | {"num_steps": 1}))
    step = run(STEPS / "train.sh", "--train-opts", options, audio, tmp_path / "model")
    assert step.returncode == 0, step.stderr
    for name in ("extract.sh", "embed_utterances.sh"):
        step = run(STEPS / name, audio, model, tmp_path / name)
        assert step.returncode == 0, step.stderr
    names = sorted(read_table(audio / "segments"))
    assert list(read_table(tmp_path / "extract.sh" / "ivector_online.scp")) == names
    assert list(read_table(tmp_path / "embed_utterances.sh" / "embedding.scp")) == names
    rows = dict(iterate_arrays(tmp_path / "extract.sh" / "ivector_online.scp"))
    assert {matrix.shape for matrix in rows.values()} == {(9, 8), (10, 8)}
    channels = dict.fromkeys(read_table(audio / "wav.scp"), "x A")
    write_table(audio / "reco2file_and_channel", channels)
    step = run(STEPS / "embed_utterances.sh", audio, model, tmp_path / "embed_utterances.sh")
    (audio / "reco2file_and_channel").unlink()
    assert "made otherwise: reco2file_and_channel was" in step.stderr
    step = run(STEPS / "extract.sh", tmp_path, model, tmp_path / "none")
    assert "end_to_end needs a data directory with audio" in step.stderr


def test_options_of_the_training_step_count_over_its_config(audio, tmp_path):
    (tmp_path / "audio.yaml").write_text("end_to_end: true\n")
    for option in ("--end-to-end false", "--noend_to_end", "--end_to_end=true --end_to_end=f"):
        options = ["--config", tmp_path / "audio.yaml", "--train-opts", option]
        step = run(STEPS / "train.sh", *options, audio, tmp_path / "model")
        assert "feats.scp: no such file, or empty" in step.stderr, (option, step.stderr)


@pytest.mark.parametrize("tanh", [True, False])
@pytest.mark.parametrize("log", [True, False])
def test_filter_bank(tanh, log):
    options = {"first_layer_tanh": tanh, "first_layer_log1p": log, "num_filters": 3}
    window = keras.Input((75, 1))
    bank = keras.Model(window, filter_bank(window, make_config(TINY | SETTINGS | options, "test")))
    samples = np.random.default_rng(0).normal(size=(2, 75, 1)).astype(np.float32)
    kernel = np.random.default_rng(1).normal(size=(64, 1, 3)).astype(np.float32)
    bank.get_layer("filter_bank").kernel.assign(kernel)
    outputs = [samples[:, t : t + 64, 0] @ kernel[:, 0] + 0.01 for t in range(0, 12, 2)]
    x = np.stack(outputs, axis=1)
    x = np.tanh(x) if tanh else np.maximum(x, 0.2 * x)
    x = np.log1p(np.abs(x)) if log else x
    expected = x.reshape(2, 3, 2, 3).max(axis=2)
    assert_close(bank(samples), expected)


@pytest.mark.parametrize("name", ["Vgg16big", "Static_LSTM", "BaselineDnn"])
def test_any_encoder_follows_the_filter_bank(name):
    options = {"embedding_transformation": name, "window_length": 200, "window_neg_length": 200}
    options |= {"num_filters": 40, "rnn_hidden_cells": 4}
    encoder = make_encoder(200, make_config(TINY | SETTINGS | options, "test"))
    assert encoder.input_shape == (None, 200, 1)
    assert encoder.output_shape == (None, {"Vgg16big": 512, "Static_LSTM": 4}.get(name, 16))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"embedding_transformation": "Dynamic_LSTM"}, "end_to_end needs windows of one length"),
        ({"window_length": 60, "window_neg_length": 60}, "cannot take windows of 60 frames"),
        ({"filter_sizes": 0}, "filter_sizes takes an integer, at least 1"),
    ],
)
def test_bad_settings(options, expected, audio, tmp_path):
    command = ["--data", audio, "--dir", tmp_path / "m", *tiny_options(**SETTINGS | options)]
    assert expected in call_fails("train", *command)


def test_bad_audio(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    write_table(tmp_path / "wav.scp", {"bad": "bad.wav"})
    options = ["--data", tmp_path, "--dir", tmp_path / "m", *tiny_options(**SETTINGS)]
    message = call_fails("train", *options)
    assert f"{tmp_path}/wav.scp: utterance 'bad': bad.wav: cannot be decoded" in message
