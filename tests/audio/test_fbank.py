"""FBANK: by the formulas, by Kaldi, with dither; what cannot be used, and settings."""

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.audio import RATE, data_dir, fbank_options, sound
from helpers.programs import ROOT, call, call_fails

from unspeech.audio.decoding import wav_bytes
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table


def bad_files(folder: Path) -> dict[str, tuple[str, str]]:
    """{utterance: (entry of wav.scp, what the reason must say)}, files written."""
    (folder / "text.wav").write_text("This is not audio.\n")
    (folder / "zero.wav").write_bytes(b"")
    (folder / "empty.wav").write_bytes(wav_bytes(np.zeros(0, np.float32), RATE))
    (folder / "short.wav").write_bytes(wav_bytes(sound(0.01), RATE))
    wave = sound()
    wave[500] = np.nan
    soundfile.write(folder / "nan.wav", wave, RATE, "FLOAT")
    return {
        "absent": ("absent.wav", "absent.wav: no such file"),
        "empty": ("empty.wav", "empty.wav: holds no audio"),
        "nan": ("nan.wav", "nan.wav: NaN or infinite sample"),
        "pipe": ("echo broken tool >&2; exit 3 |", "ended with status 3: broken tool"),
        "short": ("short.wav", "0.010 s of audio is shorter than one frame of 25 ms"),
        "text": ("text.wav", "text.wav: cannot be decoded"),
        "zero": ("zero.wav", "zero.wav: cannot be decoded"),
    }


def fbank(data: Path, out: Path, config: str = "--dither=0", **other) -> dict[str, np.ndarray]:
    call("fbank", *fbank_options(data, out, config, **other))
    if (out / "fbank.ark").stat().st_size == 0:
        return {}
    return dict(iterate_arrays(out / "fbank.scp"))


def reference_fbank(samples: np.ndarray, bins: int) -> np.ndarray:
    """Log-FBANK in double precision, with Kaldi's defaults at 16 kHz.

    Source: HTK Book 3.4, section 5.4, with the window that Kaldi's documentation gives.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160]
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft(frames, 512)) ** 2

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(20), mel(8000), bins + 2)
    place = mel(np.arange(257) * RATE / 512)
    rise = (place - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - place) / np.diff(edges)[1:, None]
    return np.log(power @ np.clip(np.minimum(rise, fall), 0, None).T)


def test_fbank_is_what_the_formulas_say(tmp_path):
    wave = sound(2)
    (tmp_path / "a.wav").write_bytes(wav_bytes(wave, RATE))
    data = data_dir(tmp_path, u="a.wav")
    features = fbank(data, tmp_path / "out", "--num-mel-bins=40 --dither=0")
    assert features["u"].shape == (198, 40)
    whole, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    np.testing.assert_allclose(features["u"], reference_fbank(whole, 40), atol=1e-3)
    assert read_table(tmp_path / "out/frames") == {"u": "198"}
    assert read_table(tmp_path / "out/durations") == {"u": "2.000"}
    assert (tmp_path / "out/failed").read_text() == ""


KALDI = shutil.which("compute-fbank-feats")


@pytest.mark.skipif(not KALDI, reason="Kaldi's compute-fbank-feats is not on PATH")
@pytest.mark.parametrize(
    "config",
    [
        "--num-mel-bins=40 --dither=0",
        "--dither=1.0 --snip-edges=false --window-type=hamming --high-freq=-400",
        "--use-energy=true --use-power=false --frame-shift=5 --sample-frequency=8000 --dither=0",
    ],
)
def test_fbank_agrees_with_kaldi(tmp_path, config):
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(wav_bytes(sound(1, ord(name)), RATE))
    (tmp_path / "short.wav").write_bytes(wav_bytes(sound(0.001), RATE))
    data = data_dir(tmp_path, a="a.wav", b="b.wav", c="c.wav", d="short.wav")
    native = fbank(data, tmp_path / "native", config, max_failed=9)
    options = {"compute_fbank_feats": KALDI, "max_failed": 9}
    kaldi = fbank(data, tmp_path / "kaldi", config, **options)
    assert list(native) == list(kaldi) == ["a", "b", "c"]
    for name, features in native.items():
        np.testing.assert_allclose(features, kaldi[name], atol=1e-3)
    failed = [(tmp_path / out / "failed").read_text() for out in ("native", "kaldi")]
    assert failed[0] == failed[1]
    assert failed[0].startswith("d 0.001 s")


CORPORA = os.environ.get("UNSPEECH_CORPORA")


@pytest.mark.skipif(not KALDI, reason="Kaldi's compute-fbank-feats is not on PATH")
@pytest.mark.skipif(not CORPORA, reason="UNSPEECH_CORPORA names no folder of real speech")
def test_fbank_agrees_with_kaldi_on_real_speech(tmp_path):
    data = Path(CORPORA) / "emodb"
    (tmp_path / "some").write_text("\n".join(list(read_table(data / "wav.scp"))[::50]))
    some, config = tmp_path / "some", "--num-mel-bins=40 --dither=0"
    native = fbank(data, tmp_path / "native", config, utterances=some)
    kaldi = fbank(data, tmp_path / "kaldi", config, utterances=some, compute_fbank_feats=KALDI)
    for name, features in native.items():
        np.testing.assert_allclose(features, kaldi[name], atol=3e-3)
        assert np.mean(np.abs(features - kaldi[name]) > 1e-3) < 1e-4  # Kaldi's FFT rounds


def test_dither_depends_on_seed_and_utterance_only(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes(wav_bytes(sound(), RATE))
    data = data_dir(tmp_path, a="a.wav", b="b.wav")
    (tmp_path / "only_b").write_text("b and the rest of the line\n")
    together = fbank(data, tmp_path / "x", "--dither=1.0")
    alone = fbank(data, tmp_path / "y", "--dither=1.0", utterances=tmp_path / "only_b")
    assert list(alone) == ["b"]
    np.testing.assert_array_equal(alone["b"], together["b"])
    assert not np.array_equal(together["a"], together["b"])
    other_seed = fbank(data, tmp_path / "z", "--dither=1.0", seed=2)
    assert not np.array_equal(other_seed["b"], together["b"])


def test_dither_has_the_amplitude_asked_for(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(np.zeros(RATE, np.float32), RATE))
    data = data_dir(tmp_path, u="a.wav")
    mean = {
        amplitude: fbank(data, tmp_path / str(amplitude), f"--dither={amplitude}")["u"].mean()
        for amplitude in (10, 100)
    }
    assert mean[100] - mean[10] == pytest.approx(2 * np.log(10), abs=0.05)


def test_what_cannot_be_used_is_counted_listed_and_left_out(tmp_path, capsys):
    bad = bad_files(tmp_path)
    (tmp_path / "good.wav").write_bytes(wav_bytes(sound(), RATE))
    entries = {name: entry for name, (entry, _) in bad.items()}
    data = data_dir(tmp_path, good="good.wav", **entries)
    assert list(fbank(data, tmp_path / "out", max_failed=9)) == ["good"]
    reasons = read_table(tmp_path / "out/failed")
    assert set(reasons) == set(bad)
    said = capsys.readouterr().out
    for name, (_, reason) in bad.items():
        assert reason in reasons[name]
        assert f"no features for utterance '{name}'" in said


@pytest.mark.parametrize("name", ["absent", "empty", "nan", "pipe", "short", "text", "zero"])
def test_too_many_failures_end_the_job(tmp_path, name):
    entry, reason = bad_files(tmp_path)[name]
    (tmp_path / "good.wav").write_bytes(wav_bytes(sound(), RATE))
    data = data_dir(tmp_path, good="good.wav", bad=entry)
    message = call_fails("fbank", *fbank_options(data, tmp_path / "out"))
    assert f"{data}/wav.scp: utterance 'bad': " in message
    assert reason in message
    assert "1 of 2 utterances cannot be used" in message
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"fbank.conf", "failed"}


def test_an_utterance_without_audio_is_an_error(tmp_path):
    data = data_dir(tmp_path, u="a.wav")
    (tmp_path / "some").write_text("v\n")
    options = fbank_options(data, tmp_path / "out", utterances=tmp_path / "some")
    assert f"{data}/wav.scp: no line for utterance 'v'" in call_fails("fbank", *options)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("--num-mel-bin=40", "fbank.conf:1: unknown option '--num-mel-bin=40'; known: "),
        ("num-mel-bins=40", "unknown option 'num-mel-bins=40'"),
        (
            "--num-mel-bins=forty",
            "--num-mel-bins takes an integer, at least 3 and at most 10000, not 'forty'",
        ),
        ("--use-energy=maybe", "--use-energy takes true or false, not 'maybe'"),
        ("--num-mel-bins=400", "num_mel_bins too large"),
        ("--low-freq=9000", "low-freq 9000"),
        ("--window-type=round", "invalid window type: round"),
        ("--frame-shift=0", "--frame-shift takes a finite number, at least 0.1"),
    ],
)
def test_bad_configuration(tmp_path, config, said):
    data = data_dir(tmp_path, u="a.wav")
    assert said in call_fails("fbank", *fbank_options(data, tmp_path / "out", config))


def test_configuration_has_comments_and_kaldis_spellings(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(sound(), RATE))
    config = "# forty\n--num_mel_bins=40   # bands\n\n--allow-downsample=true\n--use-energy\n"
    options = fbank_options(data_dir(tmp_path, u="a.wav"), tmp_path / "out")
    (tmp_path / "out/fbank.conf").write_text(config)
    call("fbank", *options)
    assert dict(iterate_arrays(tmp_path / "out/fbank.scp"))["u"].shape == (98, 41)


def test_our_configuration_is_of_the_published_models(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(sound(), RATE))
    config = (ROOT / "conf/fbank.conf").read_text()
    options = fbank_options(data_dir(tmp_path, u="a.wav"), tmp_path / "out")
    (tmp_path / "out/fbank.conf").write_text(config)
    call("fbank", *options)
    assert dict(iterate_arrays(tmp_path / "out/fbank.scp"))["u"].shape == (98, 40)


def test_resampling_is_said_once(tmp_path, capsys):
    for name in "ab":
        file = io.BytesIO()
        soundfile.write(file, sound(rate=8000), 8000, format="WAV")
        (tmp_path / f"{name}.wav").write_bytes(file.getvalue())
    fbank(data_dir(tmp_path, a="a.wav", b="b.wav"), tmp_path / "out")
    assert capsys.readouterr().out.count("Resampled 2 recordings from 8000 to 16000 Hz") == 1
