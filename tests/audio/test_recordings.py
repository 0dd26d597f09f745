"""Forms of `wav.scp` and channels: read here and, after import, by Kaldi's programs."""

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.programs import call, call_fails
from helpers.shell import STEPS, run

from unspeech.audio.recordings import DECODER, Entry, parse_entry
from unspeech.audio.utterances import AudioError, DataAudio
from unspeech.kaldi.tables import read_table, write_table

RATE = 16000


def sound(seed: int, channels: int = 1) -> np.ndarray:
    """(1600, channels) int16."""
    rng = np.random.default_rng(seed)
    return rng.integers(-9000, 9000, (1600, channels)).astype(np.int16)


def write_data(data: Path, wav: dict, **tables) -> Path:
    write_table(data / "wav.scp", wav)
    for name, table in tables.items():
        write_table(data / name, table)
    return data


def heard(data: Path, rate: int = RATE) -> dict[str, np.ndarray]:
    """What is read, as int16."""
    audio = DataAudio(data, rate).read()
    return {name: np.rint(samples * 32768).astype(np.int16) for name, samples in audio}


def kaldi_hears(entry: str) -> np.ndarray:
    """What a Kaldi program would read: 16-bit WAV in a file or from a pipe; (samples, channels)."""
    content = Path(entry.rstrip("|")).read_bytes() if entry[-1] != "|" else None
    if content is None:
        command = ["env", "-i", f"PATH={os.environ['PATH']}", "sh", "-c", entry.rstrip("| ")]
        content = subprocess.run(command, cwd="/", capture_output=True, check=True).stdout
    assert content[:4] == b"RIFF"
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert (file.format, file.subtype) == ("WAV", "PCM_16")
        return file.read(dtype="int16", always_2d=True)


@pytest.mark.parametrize("flac", [None, "/usr/bin/flac"])
def test_what_kaldi_cannot_read_becomes_a_pipe(tmp_path, monkeypatch, flac):
    monkeypatch.setattr("shutil.which", lambda name: flac if name == "flac" else None)
    folder, out = tmp_path / "it's a folder", tmp_path / "out"
    folder.mkdir()
    kinds = {"a.wav": "PCM_16", "b.wav": "FLOAT", "c.wav": "PCM_24", "d.flac": "PCM_16"}
    for number, (name, kind) in enumerate(kinds.items()):
        soundfile.write(folder / name, sound(number) / 32768, RATE, kind)
    soundfile.write(folder / "e.mp3", sound(9) / 32768, RATE)
    call("corpus", "--out", out, folder)
    entries = read_table(out / "wav.scp")
    assert entries["a"] == str(folder / "a.wav")
    assert entries["d"].startswith("flac -c -d -s " if flac else str(DECODER))
    for name in "bce":
        assert entries[name].startswith(f"{DECODER} ")
        assert entries[name].endswith("|")
    ours = heard(out)
    for number, name in enumerate("abcd"):
        np.testing.assert_allclose(ours[name], sound(number)[:, 0], atol=1)
    for name in "ae" if flac else "abcde":
        np.testing.assert_allclose(kaldi_hears(entries[name])[:, 0], ours[name], atol=1)
    called = []
    monkeypatch.setattr("unspeech.audio.utterances.pipe_output", called.append)
    assert heard(out).keys() == ours.keys()
    assert not called, "files are read directly, not by way of another program"


def test_archives_of_wav_files(tmp_path, monkeypatch):
    """As `wav-copy scp:wav.scp ark,scp:wav.ark,new.scp` writes them."""
    data = tmp_path / "data"
    data.mkdir()
    wav = {}
    with (data / "wav.ark").open("wb") as ark:
        for number, name in enumerate(("a", "b", "c")):
            ark.write(f"{name} ".encode())
            wav[name] = f"wav.ark:{ark.tell()}"
            file = io.BytesIO()
            soundfile.write(file, sound(number), RATE, "PCM_16", format="WAV")
            ark.write(file.getvalue())
    write_data(data, wav)
    for name, expected in (("a", 0), ("b", 1), ("c", 2)):
        np.testing.assert_array_equal(heard(data)[name], sound(expected)[:, 0])
    call("corpus", "--out", tmp_path / "out", data)
    assert read_table(tmp_path / "out/wav.scp")["b"] == f"{data}/{wav['b']}"
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(heard(tmp_path / "out")["c"], sound(2)[:, 0])

    call("perturb", "--out", tmp_path / "sp", tmp_path / "out")
    copy = read_table(tmp_path / "sp/wav.scp")["sp0.9-b"]
    assert copy == f"wav-copy {data}/{wav['b']} - | sox -t wav - -t wav - speed 0.9 |"
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert len(heard(tmp_path / "sp")["sp0.9-b"]) == pytest.approx(1600 / 0.9, abs=1)

    write_data(data, {"a": "wav.ark:3", "b": "none.ark:2", "c": "wav.ark:999999"})
    said = {name: str(error) for name, error in DataAudio(data, RATE).read()}
    assert "utterance 'a': wav.ark:3: no WAV file begins there" in said["a"]
    assert "none.ark: no such file" in said["b"]
    assert "no WAV file begins there" in said["c"]


def test_channels_of_segments(tmp_path):
    both = sound(0, channels=2)
    soundfile.write(tmp_path / "call.flac", both, RATE)
    segments = {"u-0": "call 0 0.05 0", "u-1": "call 0 0.05 1", "u-2": "call 0.05 -1 1"}
    data = write_data(tmp_path / "data", {"call": str(tmp_path / "call.flac")}, segments=segments)
    call("corpus", "--out", tmp_path / "out", data)
    for folder in (data, tmp_path / "out"):
        found = heard(folder)
        np.testing.assert_array_equal(found["u-0"], both[:800, 0])
        np.testing.assert_array_equal(found["u-1"], both[:800, 1])
        np.testing.assert_array_equal(found["u-2"], both[800:, 1])
    # Kaldi's extract-segments takes the channel from `segments`.
    np.testing.assert_array_equal(kaldi_hears(read_table(tmp_path / "out/wav.scp")["call"]), both)
    assert read_table(tmp_path / "out/segments") == segments
    call("perturb", "--out", tmp_path / "sp", data)
    assert read_table(tmp_path / "sp/segments")["sp1.1-u-1"] == "sp1.1-call 0.00 0.05 1"

    write_table(data / "segments", segments | {"u-3": "call 0 0.05"})  # one that names none
    write_table(data / "reco2file_and_channel", {"call": "call B"})
    call("corpus", "--out", tmp_path / "mixed", data)
    for folder in (data, tmp_path / "mixed"):
        found = heard(folder)
        for name, channel in (("u-0", 0), ("u-1", 1), ("u-3", 1)):
            np.testing.assert_array_equal(found[name], both[:800, channel])
    entry = f"decode_audio.sh --channel 0 {tmp_path}/call.flac |"
    write_table(data / "wav.scp", {"call": entry})
    said = {name: str(error) for name, error in DataAudio(data, RATE).read()}
    assert "segments has channel 1 of it, wav.scp only channel 0" in said["u-1"]
    assert "Error" not in said["u-0"]
    write_table(data / "wav.scp", {"call": str(tmp_path / "call.flac")})

    write_table(data / "segments", {"u": "call 0 0.05 2"})
    (error,) = (error for _, error in DataAudio(data, RATE).read())
    assert isinstance(error, AudioError)
    assert "no channel 2 in a recording of 2" in str(error)
    for wrong in ("B", "-1"):
        write_table(data / "segments", {"u": f"call 0 0.05 {wrong}"})
        assert "segments: utterance 'u': " in call_fails("corpus", "--out", tmp_path / "no", data)


@pytest.mark.parametrize("segmented", [True, False])
def test_channels_of_recordings(tmp_path, segmented):
    """reco2file_and_channel names them; one of its recordings is cut to its channel already."""
    both = sound(0, channels=2)
    soundfile.write(tmp_path / "call.wav", both, RATE)
    soundfile.write(tmp_path / "alone.wav", both[:, 1], RATE)
    wav = {"call-A": "call", "call-B": "call", "alone-B": "alone"}
    tables = {"reco2file_and_channel": {r: f"{f} {r[-1]}" for r, f in wav.items()}}
    if segmented:
        tables["segments"] = {r: f"{r} 0 0.1" for r in wav}
    data = write_data(
        tmp_path / "data", {r: f"{tmp_path}/{f}.wav" for r, f in wav.items()}, **tables
    )
    call("corpus", "--out", tmp_path / "out", data)
    entries = read_table(tmp_path / "out/wav.scp")
    for name, channel in (("call-A", 0), ("call-B", 1), ("alone-B", 1)):
        for folder in (data, tmp_path / "out"):
            np.testing.assert_array_equal(heard(folder)[name], both[:, channel])
        theirs = kaldi_hears(entries[name])
        np.testing.assert_array_equal(theirs[:, 0], both[:, channel])
        assert theirs.shape[1] == 1 or not segmented, "Kaldi cuts from one channel only"
    assert DataAudio(data, RATE).multichannel == 0


def test_only_commands_that_do_nothing_else_are_read_directly():
    for entry, expected in (
        ("flac -c -d -s a/b.flac |", Entry("a/b.flac")),
        ("/usr/bin/flac -cds a/b.flac|", Entry("a/b.flac")),
        ("flac -c -d -s --skip=9 a.flac |", Entry()),
        ("flac -c -d -s a.flac | sox - -r 8000 - |", Entry()),
        ("flac -c -d -s $HOME/a.flac |", Entry()),
        ("flac -c -d -s ~/a.flac |", Entry()),
        ("flac -c -d -s [ab].flac |", Entry()),
        ("flac -d a.flac |", Entry()),
        ("wav-copy a.ark:17 - |", Entry("a.ark", 17)),
        ("wav-copy a.wav b.wav |", Entry()),
        ("cat a.wav |", Entry()),
        ("flac |", Entry()),
        ("echo 'a |", Entry()),
        ("/else/where/decode_audio.sh --channel 1 'a (b).mp3' |", Entry("a (b).mp3", channel=1)),
        ("x/decode_audio.sh --other 1 b.mp3 |", Entry()),
        ("odd name.wav", Entry("odd name.wav")),
    ):
        assert parse_entry(entry) == expected, entry


def test_the_decoder_says_what_it_cannot_do(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(0), RATE)
    (tmp_path / "b.wav").write_text("no audio")
    (tmp_path / "c.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-1000])
    program = STEPS / "lib/decode_audio.sh"
    for words, said in (
        (["--channel", 1, "a.wav"], "no channel 1 of 1"),
        (["--channel", -1, "a.wav"], "--channel: takes an integer, at least 0"),
        (["b.wav"], "decoded"),
        (["c.wav"], "c.wav: cut short"),
    ):
        done = run(program, *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_files_that_cannot_be_looked_into_are_named_by_their_users(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/flac")
    folder = tmp_path / "folder"
    folder.mkdir()
    soundfile.write(folder / "good.wav", sound(0), RATE)
    (folder / "bad.flac").write_bytes(b"fLaC" + bytes(100))
    call("corpus", "--out", tmp_path / "out", folder)
    samples = dict(DataAudio(tmp_path / "out", RATE).read())
    assert "utterance 'bad'" in str(samples["bad"])
    assert "cannot be decoded" in str(samples["bad"])
    assert len(samples["good"]) == 1600
