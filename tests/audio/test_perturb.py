"""Copies of a data directory's utterances at other speeds."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from helpers.data import tone, write_corpus, write_features, write_two_speakers
from helpers.models import TINY
from helpers.programs import call, call_fails
from helpers.shell import STEPS, copy_checkout, run

from unspeech.audio.utterances import DataAudio
from unspeech.kaldi.tables import read_table, write_table

RATE = 16000
STEP = STEPS / "perturb_speed.sh"


def tables(data: Path) -> dict[str, str]:
    files = (path for path in data.iterdir() if path.suffix in ("", ".scp") and path.is_file())
    return {path.name: path.read_text() for path in files if path.name[0] != "."}


def with_programs(directory: Path, **programs: str) -> str:
    """A PATH on which programs are found that do what these lines of shell say."""
    directory.mkdir()
    for name, lines in programs.items():
        program = directory / name.replace("_", "-")
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)
    return f"{directory}:{os.environ['PATH']}"


@pytest.mark.parametrize("segments", [True, False])
def test_files_are_those_of_kaldis_script(tmp_path, kaldi, segments):
    data = write_two_speakers(tmp_path / "data", segments)
    before = tables(data)
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    done = run(STEP, data, own, KALDI_ROOT=str(kaldi))
    assert done.returncode == 0, done.stderr
    assert tables(data) == before, "the source is as it was"
    durations = """sed 's/ .*/ 2/' "${2#scp:}" > "${3#ark,t:}" """
    path = with_programs(tmp_path / "bin", sox="exit 1", wav_to_duration=durations)
    (tmp_path / "utils").symlink_to(kaldi / "egs/wsj/s5/utils")
    (tmp_path / "path.sh").touch()
    run(STEPS / "import_corpus.sh", data, tmp_path / "copy")  # with absolute paths
    script = ["utils/data/perturb_data_dir_speed_3way.sh", tmp_path / "copy", theirs]
    done = run(*script, cwd=tmp_path, PATH=path)
    assert "generated 3-way speed-perturbed version" in done.stdout, done.stderr
    if not segments:
        (theirs / "reco2dur").unlink()  # Kaldi's copy of utt2dur
    assert tables(own) == tables(theirs)


def test_nothing_is_lost_that_kaldis_script_loses(tmp_path):
    data = write_two_speakers(tmp_path / "with space", segments=True)
    write_table(data / "segments", read_table(data / "segments") | {"s2-b-2": "s2-b 1.0 -1"})
    write_table(data / "wav.scp", {name: f"{name}.wav" for name in ("s1-a", "s2-b")})
    (data / "text").write_text("s1-a-1 words\n")
    path = with_programs(tmp_path / "bin", sox="exit 1", wav_to_duration="exit 1")
    done = run(STEP, data, tmp_path / "new", PATH=path)
    assert done.returncode == 0, done.stderr
    assert len(read_table(tmp_path / "new/utt2spk")) == 12
    assert read_table(tmp_path / "new/segments")["sp0.9-s2-b-2"] == "sp0.9-s2-b 1.11 -1"
    audio = dict(DataAudio(tmp_path / "new", RATE).read())
    assert len(audio["sp0.9-s2-b-2"]) == pytest.approx(len(audio["s2-b-2"]) / 0.9, abs=RATE / 100)


def test_names_and_times(tmp_path):
    data = write_two_speakers(tmp_path / "data", segments=True)
    done = run(STEP, data, tmp_path / "new", KALDI_ROOT="")
    assert done.returncode == 0, done.stderr
    new = {path: read_table(tmp_path / "new" / path) for path in tables(tmp_path / "new")}
    names = ["s1-a-1", "s1-a-2", "s2-b-1"]
    copies = [f"sp{speed}-{u}" for speed in ("0.9", "1.1") for u in names]
    assert list(new["utt2spk"]) == [*names, "s2-b-2", *copies], "no copy of 5 milliseconds"
    assert new["utt2spk"]["sp0.9-s1-a-2"] == "sp0.9-s1"
    assert new["text"]["sp1.1-s2-b-1"] == "words of s2-b-1"
    assert new["utt2uniq"]["sp1.1-s2-b-1"] == new["utt2uniq"]["s2-b-1"] == "s2-b-1"
    assert new["utt2dur"]["sp0.9-s1-a-1"] == "1.48111"
    assert new["segments"]["sp1.1-s2-b-1"] == "sp1.1-s2-b 0.30 1.62"
    assert new["spk2gender"]["sp0.9-s2"] == "m"
    assert new["wav.scp"]["sp0.9-s2-b"].endswith("s2-b.wav | sox -t wav - -t wav - speed 0.9 |")
    again = run(STEP, data, tmp_path / "new", KALDI_ROOT="")
    assert "complete already" in again.stdout


def frequency(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * RATE / len(samples)


def test_pitch_and_length_follow_the_speed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    data = write_two_speakers(tmp_path / "data", segments=False)
    (data / "s1-a.wav").rename(data / "with space.wav")
    soundfile.write(data / "s3-c.flac", tone(3000, 2), RATE)
    write_table(
        data / "wav.scp",
        read_table(data / "wav.scp") | {"s1-a": "with space.wav", "s3-c": "s3-c.flac"},
    )
    for name in ("utt2spk", "spk2utt"):
        (data / name).unlink()
    call("perturb", "--out", tmp_path / "new", data)
    audio = dict(DataAudio(tmp_path / "new", RATE).read())
    assert len(audio) == 9
    for name, own in (("s1-a", 1000), ("s2-b", 2000), ("s3-c", 3000)):
        for prefix, speed in (("", 1), ("sp0.9-", 0.9), ("sp1.1-", 1.1)):
            samples = audio[prefix + name]
            assert len(samples) == pytest.approx(2 * RATE / speed, abs=1)
            assert frequency(samples) == pytest.approx(own * speed, abs=1)
            assert np.abs(samples).max() == pytest.approx(0.5, abs=0.05)


def test_copies_are_the_same_with_sox_and_without(tmp_path, monkeypatch):
    data = write_two_speakers(tmp_path / "data", segments=False)
    with (data / "s2-b.wav").open("r+b") as file:
        file.truncate(20000)  # sox would take the rest for all
    call("perturb", "--out", tmp_path / "new", data)
    before = DataAudio(tmp_path / "new", RATE)
    monkeypatch.setenv("PATH", with_programs(tmp_path / "bin", sox=f"cat {data / 's1-a.wav'}"))
    audio = dict(DataAudio(tmp_path / "new", RATE).read())
    np.testing.assert_array_equal(audio["sp0.9-s1-a"], dict(before.read())["sp0.9-s1-a"])
    for name in ("s2-b", "sp0.9-s2-b", "sp1.1-s2-b"):
        assert "cut short" in audio[name].reason, name


def test_what_more_a_pipe_asks_of_sox_is_left_to_it(tmp_path, monkeypatch):
    data = write_two_speakers(tmp_path / "data", segments=False)
    monkeypatch.setenv("PATH", with_programs(tmp_path / "bin", sox=f"cat {data / 's1-a.wav'}"))
    monkeypatch.setenv("PLACE", str(data))
    for pipe in (
        "sox -t wav $PLACE/s2-b.wav -t wav - speed 0.9 |",
        "sox -r 8000 s2-b.wav -t wav - speed 0.9 |",
        "sox -t wav s2-b.wav -t wav - speed 0.9 gain -3 |",
    ):
        write_table(data / "wav.scp", {"s1-a": "s1-a.wav", "s2-b": pipe})
        audio = dict(DataAudio(data, RATE).read())
        np.testing.assert_array_equal(audio["s2-b"], audio["s1-a"], err_msg=pipe)


def test_utterances_without_features_have_copies_too(tmp_path):
    data = write_two_speakers(tmp_path / "data", segments=False)
    write_features(tmp_path / "some", {"s1-a": np.ones((5, 40), np.float32)})
    (tmp_path / "some/feats.scp").rename(data / "feats.scp")
    call("perturb", "--out", tmp_path / "new", data)
    assert len(read_table(tmp_path / "new/utt2spk")) == 6


def test_damaged_durations(tmp_path):
    data = write_two_speakers(tmp_path / "data", segments=False)
    for value in ("one", "nan", "-1"):
        write_table(data / "utt2dur", {"s1-a": "2.0", "s2-b": value})
        message = call_fails("perturb", "--out", tmp_path / "new", data)
        assert message.endswith(f"utt2dur: 's2-b': '{value}' is no time in seconds")


def test_audio_is_needed(tmp_path):
    data = write_two_speakers(tmp_path / "data", segments=False)
    (data / "wav.scp").unlink()
    write_table(data / "feats.scp", {u: data / f"{u}.wav:0" for u in ("s1-a", "s2-b")})
    message = call_fails("perturb", "--out", tmp_path / "new", data)
    assert message.endswith("wav.scp: no such file; speed is changed in audio")
    assert not (tmp_path / "new").exists()


def test_the_chain_trains_on_copies_and_scores_the_originals(tmp_path):
    place = copy_checkout(tmp_path / "checkout")
    write_corpus(place / "corpora/voices", speakers=4, utterances=1)
    settings = TINY | {"embedding_transformation": "BaselineDnn", "num_steps": 1}
    (place / "tiny.yaml").write_text(yaml.safe_dump(settings))
    options = ["--corpus", "corpora/voices", "--config", "tiny.yaml", "--stop-stage", 2]
    done = run(place / "run.sh", *options, "--speed-perturb", "true", cwd=place, KALDI_ROOT="")
    assert done.returncode == 0, done.stdout + done.stderr
    directory = place / "exp/voices"
    assert yaml.safe_load((directory / "model/trained_on.yaml").read_text())["utterances"] == 12
    frames = {k: int(n) for k, n in read_table(directory / "data/voices_sp/utt2num_frames").items()}
    assert frames["sp0.9-s0-u0"] == pytest.approx(frames["s0-u0"] / 0.9, abs=1)
    assert len(read_table(directory / "data/voices/utt2num_frames")) == 4
    refused = run(place / "run.sh", *options, cwd=place, KALDI_ROOT="")
    assert 'speed_perturb was "true"' in refused.stderr
