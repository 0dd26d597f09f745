"""Corpora become Kaldi data directories: data directories with and without audio, and folders."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.data import write_features
from helpers.programs import call, call_fails

from unspeech.audio.decoding import wav_bytes
from unspeech.audio.utterances import DataAudio
from unspeech.kaldi.features import load_corpus
from unspeech.kaldi.tables import read_table, write_table

RATE = 16000
CORPORA = os.environ.get("UNSPEECH_CORPORA")


def write_wav(path: Path, seconds: float = 0.5, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(int(seconds * 1000)).uniform(-0.3, 0.3, int(seconds * rate))
    path.write_bytes(wav_bytes(samples, rate))


@pytest.fixture
def corpus(tmp_path) -> Path:
    """A data directory of three utterances of two speakers, with all the tables we know."""
    corpus = tmp_path / "corpus"
    for name in ("a-1", "a-2", "b-1"):
        write_wav(corpus / "audio" / f"{name}.wav")
    write_table(corpus / "wav.scp", {n: f"audio/{n}.wav" for n in ("b-1", "a-2", "a-1")})
    write_table(corpus / "utt2spk", {"a-1": "a", "a-2": "a", "b-1": "b", "gone-1": "gone"})
    write_table(corpus / "text", {"a-1": "one two", "b-1": "zwei  drei", "gone-1": "three"})
    (corpus / "text").open("a").write("a-2\n")
    write_table(corpus / "spk2gender", {"a": "f", "b": "m", "gone": "m"})
    write_table(corpus / "utt2dur", {"a-1": "0.5", "a-2": "0.5", "b-1": "0.5"})
    write_table(corpus / "utt2lang", {"a-1": "en", "a-2": "en", "b-1": "de", "gone-1": "fr"})
    write_table(corpus / "utt2uniq", {"a-1": "a-1", "a-2": "a-1", "b-1": "b-1"})
    write_table(corpus / "reco2dur", {"a-1": "0.5", "a-2": "0.5", "b-1": "0.5", "gone-1": "1"})
    write_table(corpus / "spk2warp", {"a": "1.1", "b": "0.9", "gone": "1"})
    return corpus


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_data_directory(corpus, tmp_path):
    out = tmp_path / "out"
    call("corpus", "--out", out, corpus)
    assert lines(out / "utt2spk") == ["a-1 a", "a-2 a", "b-1 b"]
    assert lines(out / "spk2utt") == ["a a-1 a-2", "b b-1"]
    assert lines(out / "text") == ["a-1 one two", "a-2 ", "b-1 zwei  drei"]
    assert lines(out / "spk2gender") == ["a f", "b m"]
    assert lines(out / "utt2lang") == ["a-1 en", "a-2 en", "b-1 de"]
    assert lines(out / "utt2uniq") == ["a-1 a-1", "a-2 a-1", "b-1 b-1"]
    assert lines(out / "reco2dur") == ["a-1 0.5", "a-2 0.5", "b-1 0.5"]
    assert lines(out / "spk2warp") == ["a 1.1", "b 0.9"]
    assert lines(out / "wav.scp")[0] == f"a-1 {corpus}/audio/a-1.wav"
    assert len(dict(DataAudio(out, RATE).read())) == 3


def test_paths_relative_to_where_we_are_and_pipes(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(corpus / "wav.scp", {"a-1": "corpus/audio/a-1.wav", "b-1": "cat x.wav |"})
    call("corpus", "--out", "out", corpus)
    expected = {"a-1": f"{corpus}/audio/a-1.wav", "b-1": "cat x.wav |"}
    assert read_table("out/wav.scp") == expected


def test_segments(corpus, tmp_path):
    write_table(corpus / "segments", {"a-1-x": "a-1 0 0.2", "b-1-x": "b-1 0.1 0.3"})
    write_table(corpus / "utt2spk", {"a-1-x": "a", "b-1-x": "b"})
    call("corpus", "--out", tmp_path / "out", corpus)
    assert lines(tmp_path / "out/segments") == ["a-1-x a-1 0 0.2", "b-1-x b-1 0.1 0.3"]
    assert lines(tmp_path / "out/utt2spk") == ["a-1-x a", "b-1-x b"]
    lengths = {u: len(s) for u, s in DataAudio(tmp_path / "out", RATE).read()}
    assert lengths == {"a-1-x": 3200, "b-1-x": 3200}


def test_features_without_audio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features = {f"{s}-{n}": np.full((5, 4), n, np.float32) for s in "ab" for n in range(2)}
    write_features(Path("exp/feats"), features)  # its scp names the archive as seen from here
    corpus = Path("exp/feats")
    entries = read_table(corpus / "feats.scp")
    entries["b-1"] += "[0:2]"
    write_table(corpus / "feats.scp", entries)
    call("corpus", "--out", "out", corpus)
    monkeypatch.chdir("/")
    read = load_corpus(tmp_path / "out", 4)
    assert read.utterances == ["a-0", "a-1", "b-0", "b-1"]
    assert list(read.lengths) == [5, 5, 5, 3]
    assert lines(tmp_path / "out/spk2utt") == ["a a-0 a-1", "b b-0 b-1"]


def test_utterances_without_features_are_counted(corpus, tmp_path, capsys):
    write_features(corpus, {name: np.ones((5, 4), np.float32) for name in ("a-1", "b-1")})
    write_table(corpus / "utt2spk", {"a-1": "a", "a-2": "a", "b-1": "b"})
    call("corpus", "--out", tmp_path / "out", corpus)
    said = capsys.readouterr().out
    assert "Left out 1 utterances that feats.scp lacks: a-2" in said
    assert "utt2spk" not in said
    for name in ("utt2spk", "wav.scp", "feats.scp", "text"):
        assert [line.split()[0] for line in lines(tmp_path / "out" / name)] == ["a-1", "b-1"]


def test_utterances_that_only_utt2spk_has_are_counted(corpus, tmp_path, capsys):
    for program in ("corpus", "perturb"):
        call(program, "--out", tmp_path / "out" / program, corpus)
        said = capsys.readouterr().out
        assert "Left out 1 utterances of utt2spk without audio or features: gone-1" in said


def test_without_utt2spk_each_utterance_is_its_own_speaker(corpus, tmp_path):
    (corpus / "utt2spk").unlink()
    call("corpus", "--out", tmp_path / "out", corpus)
    assert lines(tmp_path / "out/spk2utt") == ["a-1 a-1", "a-2 a-2", "b-1 b-1"]


def test_folder_of_audio(tmp_path, capsys):
    folder = tmp_path / "recordings"
    for name in ("one.wav", "two words.WAV", "deep/er/Grüße.wav", ".hidden/no.wav", ".no.wav"):
        write_wav(folder / name)
    soundfile.write(folder / "song.mp3", np.zeros(RATE), RATE)
    (folder / "notes.txt").write_text("not audio")
    (folder / "cover.jpg").write_text("not audio")
    call("corpus", "--out", tmp_path / "out", folder)
    assert "Left out 2 files that are not audio: cover.jpg, notes.txt" in capsys.readouterr().out
    expected = ["deep-er-Grüße", "one", "song", "two_words"]
    assert list(read_table(tmp_path / "out/wav.scp")) == expected
    assert lines(tmp_path / "out/utt2spk") == [f"{name} {name}" for name in expected]
    assert [u for u, s in DataAudio(tmp_path / "out", RATE).read() if len(s)] == expected


def test_order_is_that_of_the_c_locale(tmp_path):
    for name in ("b", "A", "a-1", "a1", "ä", "a_1"):
        write_wav(tmp_path / "in" / f"{name}.wav")
    call("corpus", "--out", tmp_path / "out", tmp_path / "in")
    for name in ("wav.scp", "utt2spk", "spk2utt"):
        done = subprocess.run(["sort", "-c", tmp_path / "out" / name], env={"LC_ALL": "C"})
        assert done.returncode == 0, name


def test_join(tmp_path):
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    lengths = {"a": [0.4] * 8, "b": [0.4, 0.9, 0.5], "c": [0.2]}
    names = {f"{s}-{i}": (s, t) for s, own in lengths.items() for i, t in enumerate(own)}
    for name, (_, seconds) in names.items():
        write_wav(corpus / f"{name}.wav", seconds, rate=8000 if name == "b-1" else RATE)
    write_table(corpus / "wav.scp", {name: f"{name}.wav" for name in names})
    write_table(corpus / "utt2spk", {name: speaker for name, (speaker, _) in names.items()})
    write_table(corpus / "text", {name: f"word{name[-1]}" for name in names})
    call("corpus", "--out", out, "--join_seconds", 1, corpus)
    assert read_table(out / "text") == {
        "a-0000": "word5 word6 word4",
        "a-0001": "word3 word1 word7",
        "a-0002": "word0 word2",
        "b-0000": "word0 word1",
        "b-0001": "word2",
        "c-0000": "word0",
    }
    seconds = {name: float(value) for name, value in read_table(out / "utt2dur").items()}
    assert list(seconds.values()) == [1.2, 1.2, 0.8, 1.3, 0.5, 0.2]
    joined, parts = dict(DataAudio(out, RATE).read()), dict(DataAudio(corpus, RATE).read())
    expected = np.concatenate([parts[f"a-{i}"] for i in (3, 1, 7)])
    np.testing.assert_allclose(joined["a-0001"], expected, atol=1e-4)
    before = files(out)
    call("corpus", "--out", out, "--join-seconds", 1, corpus)
    assert files(out) == before


def test_joined_utterances_of_speakers_with_like_names(tmp_path):
    corpus = tmp_path / "corpus"
    for name, seconds in (("x-0000", 0.5), ("x-000000", 0.7)):
        write_wav(corpus / f"{name}.wav", seconds)
    write_table(corpus / "wav.scp", {n: f"{n}.wav" for n in ("x-0000", "x-000000")})
    call("corpus", "--out", tmp_path / "out", "--join-seconds", 1, corpus)
    lengths = {u: len(s) / RATE for u, s in DataAudio(tmp_path / "out", RATE).read()}
    assert lengths == {"x-0000-0000": 0.5, "x-000000-0000": 0.7}


def test_a_short_rest_is_joined_to_the_utterance_before(tmp_path):
    for i in range(4):
        write_wav(tmp_path / f"in/{i}.wav", 0.4)
    write_table(tmp_path / "in/wav.scp", {f"a-{i}": f"{i}.wav" for i in range(4)})
    write_table(tmp_path / "in/utt2spk", {f"a-{i}": "a" for i in range(4)})
    call("corpus", "--out", tmp_path / "out", "--join-seconds", 1, tmp_path / "in")
    assert read_table(tmp_path / "out/utt2dur") == {"a-0000": "1.600"}


def test_the_same_call_again_keeps_what_later_steps_added(corpus, tmp_path):
    out = tmp_path / "out"
    call("corpus", "--out", out, corpus)
    (out / "feats.scp").write_text("added\n")
    (out / "utt2dur").write_text("changed\n")
    before = files(out)
    call("corpus", "--out", out, corpus)
    assert files(out) == before


def test_another_runs_directory(corpus, tmp_path):
    out = tmp_path / "out"
    call("corpus", "--out", out, corpus)
    before = files(out)
    write_table(corpus / "utt2spk", {"a-1": "x", "a-2": "a", "b-1": "b"})
    assert f"{out}: holds something else" in call_fails("corpus", "--out", out, corpus)
    assert files(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("years of work")
    message = call_fails("corpus", "--out", tmp_path / "mine", corpus)
    assert "holds something else already; choose another directory" in message
    assert files(tmp_path / "mine") == {"thesis.tex": b"years of work"}


def test_bad_corpora(corpus, tmp_path):
    def message() -> str:
        said = call_fails("corpus", "--out", tmp_path / "out", corpus)
        assert {path.name for path in tmp_path.iterdir()} == {"corpus"}  # nothing half-written
        return said

    (corpus / "audio/a-2.wav").unlink()
    assert f"{corpus}/wav.scp: utterance 'a-2': audio/a-2.wav: no such file" in message()
    write_wav(corpus / "audio/a-2.wav")
    write_table(corpus / "utt2spk", {"a-1": "a", "b-1": "b"})
    assert f"{corpus}/utt2spk: no speaker for utterance 'a-2'" in message()
    (corpus / "utt2spk").write_text("")
    assert f"{corpus}/utt2spk: the file is empty" in message()
    (corpus / "utt2spk").unlink()
    (corpus / "segments").write_text("u a-1 0 1\nv lost 0 1\n")
    assert f"{corpus}/segments: utterance 'v': its recording 'lost'" in message()
    (corpus / "segments").unlink()
    (corpus / "wav.scp").write_text("a-1 audio/a-1.wav\na-1 audio/a-2.wav\n")
    assert f"{corpus}/wav.scp:2: 'a-1' occurs twice" in message()
    (corpus / "wav.scp").write_text("a-1\n")
    assert f"{corpus}/wav.scp:1: expected" in message()
    (corpus / "wav.scp").unlink()
    (corpus / "feats.scp").write_text("a-1 gone.ark:4\n")
    message_without = call_fails("corpus", "--features", "false", "--out", tmp_path / "out", corpus)
    assert f"{corpus}/wav.scp: no such file, and no feats.scp is to be read" in message_without
    assert f"{corpus}/feats.scp: utterance 'a-1': gone.ark: no such file" in message()


@pytest.mark.parametrize("name", ["utt2spk", "text", "segments", "feats.scp", "wav.scp"])
def test_a_table_that_is_a_link_to_nothing_is_not_taken_for_none(name, corpus, tmp_path):
    (corpus / name).unlink(missing_ok=True)
    (corpus / name).symlink_to("/moved/away")
    said = call_fails("corpus", "--out", tmp_path / "out", corpus)
    assert f"{corpus}/{name}: a link to nothing" in said
    assert not (tmp_path / "out").exists()


def test_speakers_of_spk2utt_alone_are_not_lost(corpus, tmp_path):
    (corpus / "utt2spk").rename(corpus / "spk2utt")
    said = call_fails("corpus", "--out", tmp_path / "out", corpus)
    assert f"{corpus}/utt2spk: no such file, but there is spk2utt" in said


def test_segments_stay_where_there_is_no_audio(corpus, tmp_path):
    """They say which utterances are of one recording."""
    (corpus / "wav.scp").unlink()
    write_features(corpus, {name: np.ones((5, 40), np.float32) for name in ("a-1", "a-2", "b-1")})
    write_table(corpus / "segments", {"a-1": "r 0 1", "a-2": "r 1 2", "b-1": "s 0 1"})
    call("corpus", "--out", tmp_path / "out", corpus)
    assert read_table(tmp_path / "out/segments") == read_table(corpus / "segments")


def test_what_is_left_out_is_said(corpus, tmp_path, capfd):
    both = np.random.default_rng(0).uniform(-0.3, 0.3, (2 * RATE, 2))
    soundfile.write(corpus / "audio/b-1.wav", both, RATE)
    (corpus / "cmvn.scp").write_text("a x.ark:2\n")
    call("corpus", "--out", tmp_path / "whole", corpus)
    said = capfd.readouterr().out
    assert "Left out 1 files of the data directory: cmvn.scp\n" in said
    assert "channels" not in said, "it is counted when it is decoded"
    write_table(corpus / "utt2spk", {"a-1": "a", "b-2": "b"})
    write_table(corpus / "segments", {"a-1": "a-1 0 0.3", "b-2": "b-1 0 1"})
    call("corpus", "--out", tmp_path / "cut", corpus)
    said = capfd.readouterr().out
    what = "channels but the first of recordings, as nothing says which is meant,"
    assert f"Left out 1 {what}: b-1\n" in said
    write_table(corpus / "reco2file_and_channel", {"b-1": "b-1 B"})
    call("corpus", "--out", tmp_path / "second", corpus)
    assert "channels" not in capfd.readouterr().out


def test_bad_folders(tmp_path):
    out, folder = tmp_path / "out", tmp_path / "folder"
    assert "folder: no such directory" in call_fails("corpus", "--out", out, folder)
    folder.mkdir()
    assert "folder: no file; expected a Kaldi data" in call_fails("corpus", "--out", out, folder)
    (folder / "notes.txt").write_text("x")
    assert "such as notes.txt" in call_fails("corpus", "--out", out, folder)
    write_wav(folder / "x.wav")
    write_wav(folder / "x.flac")
    message = call_fails("corpus", "--out", out, folder)
    assert "x.wav and " in message
    assert "would both be utterance 'x'" in message
    assert not out.exists()


def test_joining_needs_audio_that_can_be_decoded(corpus, tmp_path):
    options = ("--out", tmp_path / "out", "--join-seconds", 1, corpus)
    (corpus / "audio/a-2.wav").write_text("text")
    assert "utterance 'a-2': audio/a-2.wav: cannot be decoded" in call_fails("corpus", *options)
    (corpus / "wav.scp").unlink()
    write_features(corpus, {"a-1": np.ones((5, 4), np.float32)})
    assert "joining utterances needs audio" in call_fails("corpus", *options)
    assert {path.name for path in tmp_path.iterdir()} == {"corpus"}


@pytest.mark.skipif(not CORPORA, reason="UNSPEECH_CORPORA names no folder of real speech")
def test_real_digits_are_joined(tmp_path):
    call("corpus", "--out", tmp_path / "out", "--join-seconds", 3, Path(CORPORA) / "fsdd")
    seconds = [float(value) for value in read_table(tmp_path / "out/utt2dur").values()]
    whole = sum(float(value) for value in read_table(Path(CORPORA) / "fsdd/utt2dur").values())
    assert sum(seconds) == pytest.approx(whole, rel=1e-3)
    assert 1.5 <= min(seconds) <= max(seconds) < 6
    words = " ".join(read_table(tmp_path / "out/text").values()).split()
    assert len(words) == 3000
    assert len(read_table(tmp_path / "out/spk2utt")) == 6
