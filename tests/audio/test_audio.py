"""Audio in every form that wav.scp allows, and the features made of it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.audio import RATE, data_dir, fbank_options, sound
from helpers.programs import call_fails

from unspeech.audio.decoding import wav_bytes
from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.kaldi.tables import read_table, write_table


def read(data: Path, rate: int = RATE) -> dict:
    return dict(DataAudio(data, rate).read())


@pytest.mark.parametrize(
    ("suffix", "format_", "subtype"),
    [
        ("wav", "WAV", "PCM_16"),
        ("wav", "WAV", "FLOAT"),
        ("wav", "WAV", "ULAW"),
        ("flac", "FLAC", "PCM_16"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
        ("sph", "NIST", "PCM_16"),
    ],
)
def test_formats(tmp_path, suffix, format_, subtype):
    clean = 0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / f"a.{suffix}", clean, RATE, subtype, format=format_)
    samples = read(data_dir(tmp_path, u=f"a.{suffix}"))["u"]
    assert samples.dtype == np.float32
    assert abs(len(samples) - RATE) < 2000  # lossy formats pad
    spectrum = np.abs(np.fft.rfft(samples[4000:12000]))
    assert np.argmax(spectrum) == 220  # 440 Hz


def test_paths_and_pipes_give_the_same_samples(tmp_path, monkeypatch):
    wave = sound()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    data = data_dir(
        tmp_path / "data",
        beside="x y.wav",
        here="here.wav",
        absolute=tmp_path / "data" / "x y.wav",
        pipe="cat here.wav | cat |",
        flac_pipe="cat here.flac |",
        streamed="cat streamed.wav |",
    )
    (data / "x y.wav").write_bytes(wav_bytes(wave, RATE))
    Path("here.wav").write_bytes(wav_bytes(wave, RATE))
    soundfile.write("here.flac", wave, RATE, "PCM_16")
    header = bytearray(wav_bytes(wave, RATE))  # as programs write it that do not know the length
    header[4:8] = header[40:44] = b"\xff\xff\xff\xff"
    Path("streamed.wav").write_bytes(header)
    samples = read(data)
    assert len(samples) == 6
    for name, own in samples.items():
        np.testing.assert_allclose(own, wave, atol=1e-4, err_msg=name)


def test_a_name_of_two_files_is_refused(tmp_path, monkeypatch):
    """Kaldi would take the one here; corpora name what is beside their tables."""
    monkeypatch.chdir(tmp_path)
    data = data_dir(tmp_path / "data", u="a.wav")
    (data / "a.wav").write_bytes(wav_bytes(sound(2), RATE))
    assert len(read(data)["u"]) == 2 * RATE
    Path("a.wav").write_bytes(wav_bytes(sound(1), RATE))
    assert f"a.wav could be {tmp_path}/a.wav or {data}/a.wav" in str(read(data)["u"])
    (data / "a.wav").unlink()
    assert len(read(data)["u"]) == RATE


def test_segments_are_rounded_as_in_kaldi(tmp_path):
    """1.005 times 16000 is 16079.999… as a float."""
    (tmp_path / "r.wav").write_bytes(wav_bytes(sound(3), RATE))
    data = data_dir(tmp_path, r="r.wav")
    write_table(data / "segments", {"a": "r 0 1.005", "b": "r 1.005 2.01"})
    assert {u: len(samples) for u, samples in read(data).items()} == {"a": 16080, "b": 16080}
    assert DataAudio(data, RATE).excerpt("b")[0].shape == (16080,)


def test_segments_are_cut_and_each_recording_is_decoded_once(tmp_path):
    wave = sound(3)
    (tmp_path / "r.wav").write_bytes(wav_bytes(wave, RATE))
    command = f"echo >> {tmp_path}/decoded; cat {tmp_path}/r.wav |"
    data = data_dir(tmp_path, r=command, unused="missing.wav")
    write_table(data / "segments", {"c": "r 2 -1", "b": "r 1.0 2.5", "a": "r 0 3.2"})
    samples = read(data)
    for name, start, end in [("a", 0, 3), ("b", 1, 2.5), ("c", 2, 3)]:
        expected = wave[int(start * RATE) : int(end * RATE)]
        np.testing.assert_allclose(samples[name], expected, atol=1e-4, err_msg=name)
    assert (tmp_path / "decoded").read_text() == "\n"


def test_other_rates_are_resampled_and_the_first_of_several_channels_is_used(tmp_path):
    time = np.arange(8000) / 8000
    left, right = 0.5 * np.sin(2 * np.pi * 440 * time), 0.5 * np.sin(2 * np.pi * 1000 * time)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 8000)
    audio = DataAudio(data_dir(tmp_path, u="a.wav"), RATE)
    ((_, samples),) = audio.read()
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    np.testing.assert_allclose(samples[1000:-1000], expected[1000:-1000], atol=1e-3)
    assert (dict(audio.rates), audio.multichannel) == ({8000: 1}, 1)


def test_bad_segments(tmp_path):
    (tmp_path / "r.wav").write_bytes(wav_bytes(sound(3), RATE))
    data = data_dir(tmp_path, r="r.wav")
    write_table(data / "segments", {"late": "r 1 3.6", "later": "r 5 6", "good": "r 0 1"})
    write_table(data / "segments", read_table(data / "segments") | {"none": "r 1 1.00001"})
    samples = read(data)
    assert len(samples["good"]) == RATE
    for name in ("late", "later", "none"):
        assert isinstance(samples[name], AudioError)
        assert f"utterance '{name}': segment" in str(samples[name])
    for line, said in [
        ("other 0 1", "its recording 'other' is not in wav.scp"),
        ("r 0", "expected '<recording> <start> <end> [<channel>]'"),
        ("r 2 1", "starts at 2 s and ends at 1 s"),
        ("r nan 1", "starts at nan s"),
    ]:
        write_table(data / "segments", {"u": line})
        assert said in call_fails("fbank", *fbank_options(data, tmp_path / "out"))
