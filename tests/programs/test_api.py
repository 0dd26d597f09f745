"""The Python API, and the model that is part of the package."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from unspeech import load_model
from unspeech.api import PRETRAINED
from unspeech.cli.errors import UnspeechError

NAME = "voices-so762"
RATE = 16000


@pytest.fixture(scope="module")
def model():
    return load_model(NAME)


def noise(seed: int, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    """Noise whose colour and rhythm depend on the seed."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(int(seconds * rate))
    coloured = np.convolve(samples, rng.standard_normal(8), mode="same")
    rhythm = 1 + np.sin(2 * np.pi * (1 + seed) * np.arange(len(samples)) / rate)
    return (0.02 * coloured * rhythm).astype(np.float32)


def test_files_arrays_and_lists_give_the_same(model, tmp_path):
    samples = noise(1)
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    vector = model.embed(tmp_path / "a.wav")
    assert vector.shape == (model.dim,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    several = model.embed([str(tmp_path / "a.wav"), (samples, RATE), (noise(2), RATE)])
    assert several.shape == (3, model.dim)
    np.testing.assert_allclose(several[:2], [vector, vector], atol=1e-6)
    assert several[2] @ vector < 0.99


def test_every_format_is_taken(model, tmp_path):
    samples = noise(5, seconds=4)
    expected = model.embed((samples, RATE))
    for name, options in {
        "a.flac": {}, "a.ogg": {}, "a.opus": {"format": "OGG", "subtype": "OPUS"}, "a.mp3": {},
        "a.sph": {"format": "NIST"},
    }.items():  # fmt: skip
        soundfile.write(tmp_path / name, samples, RATE, **options)
        assert model.embed(tmp_path / name) @ expected > 0.5, name
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[: -len(samples) // 8])
        if name != "a.mp3":  # declares no length
            with pytest.raises(UnspeechError, match=f"{name}: .*(cut short|cannot be decoded)"):
                model.embed(tmp_path / name)


def test_integers_are_of_their_full_range(model):
    samples = noise(6)
    whole = np.round(samples * 32768).astype(np.int16)
    assert model.embed((samples, RATE)) @ model.embed((whole, RATE)) > 0.99
    assert model.embed([]).shape == (0, model.dim)
    with pytest.raises(UnspeechError, match="floats lie within"):
        model.embed((whole.astype(np.float32), RATE))


def test_other_rates_are_resampled(model):
    wave = noise(3, rate=48000)
    smooth = np.convolve(wave, np.ones(24) / 24, mode="same")  # so that both rates can hold it
    high, low = model.embed([(smooth, 48000), (smooth[::3], RATE)])
    assert high @ low > 0.9


@pytest.mark.parametrize("period", [1, 10, 25])
def test_rows_cover_the_recording(model, period):
    frames = len(model.features((noise(4), RATE)))
    rows = model.rows((noise(4), RATE), period=period, causal=True, average="running")
    assert rows.shape == (-(-frames // period), model.dim)


def test_what_cannot_be_embedded_is_named(model, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    cases = [
        (tmp_path / "none.wav", "no such file"),
        (tmp_path / "empty.wav", "empty.wav"),
        ((np.full(RATE, np.nan), RATE), "finite"),
        ((np.zeros((RATE, 2)), RATE), r"\(samples,\)"),
        ((np.zeros(10), RATE), "shorter than a frame"),
    ]
    for audio, message in cases:
        with pytest.raises(UnspeechError, match=message):
            model.embed(audio)


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(UnspeechError, match=f"known: .*{NAME}"):
        load_model("nobody")


def test_it_needs_no_tensorflow():
    code = (
        "import sys, unspeech; unspeech.load_model(sys.argv[1]); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, NAME], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_pretrained_models_are_small_and_say_where_they_come_from():
    models = [path for path in PRETRAINED.iterdir() if path.is_dir()]
    assert models
    for path in models:
        assert sum(file.stat().st_size for file in path.iterdir()) < 5e6
        text = (path / "README.md").read_text()
        assert "licence" in text
        assert "train.sh" in text
