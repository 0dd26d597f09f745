"""Kaldi's text tables that are damaged, of another encoding or form, or no files."""

import numpy as np
import pytest
from helpers.data import write_features
from helpers.faults import SPECIAL, accepted, make_special, refused
from helpers.programs import call

from unspeech.audio.decoding import wav_bytes
from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.tables import read_table, write_table

FAULTS = {  # of a table's bytes, and what is said of them
    "carriage returns": (lambda b: b.replace(b"\n", b"\r\n"), ":1: holds a carriage return"),
    "one carriage return": (lambda b: b[:-1] + b"\r\n", "holds a carriage return"),
    "byte order mark": (lambda b: b"\xef\xbb\xbf" + b, "begins with a byte order mark"),
    "UTF-16": (lambda b: b.decode().encode("utf-16"), ":1: not a text file in UTF-8"),
    "Latin-1": (lambda b: b[:-1] + b" \xe9\n", "not a text file in UTF-8"),
    "NUL": (lambda b: b[:-1] + b"\0\n", "holds a NUL byte"),
    "empty line": (lambda b: b + b"\n", "an empty line"),
    "line of spaces": (lambda b: b"  \t\n" + b, ":1: an empty line"),
    "key twice": (lambda b: b + b, "occurs twice"),
    "empty file": (lambda b: b"", "the file is empty"),
    "NBSP in a key": (lambda b: b"a\xc2\xa0b" + b[3:], "(U+00A0)"),
    "line separator in a key": (lambda b: b"a\xe2\x80\xa8b" + b[3:], "(U+2028)"),
}
TABLES = ("wav.scp", "utt2spk", "text", "segments", "spk2gender", "utt2dur")
NO_VALUE = ("wav.scp", "utt2spk", "segments", "spk2gender", "utt2dur")


@pytest.fixture
def data(tmp_path):
    """A data directory with every kind of table."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "r.wav").write_bytes(wav_bytes(np.zeros(16000, np.int16), 16000))
    write_table(data / "wav.scp", {"rec": "r.wav"})
    write_table(data / "segments", {"spk-1": "rec 0 0.4", "spk-2": "rec 0.5 0.9"})
    write_table(data / "utt2spk", {"spk-1": "spk", "spk-2": "spk"})
    write_table(data / "text", {"spk-1": "one two", "spk-2": ""})
    write_table(data / "utt2dur", {"spk-1": "0.4", "spk-2": "0.4"})
    write_table(data / "spk2gender", {"spk": "f"})
    return data


def importing(data) -> list:
    return ["--out", data.parent / "out/data", data]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_table(fault, name, data):
    spoil, says = FAULTS[fault]
    path = data / name
    path.write_bytes(spoil(path.read_bytes()))
    refused("corpus", *importing(data), says=(path, says), out=data.parent / "out")


@pytest.mark.parametrize("name", NO_VALUE)
def test_line_without_a_value(name, data):
    path = data / name
    path.write_text(path.read_text() + "zzz\n")
    says = (path, "expected '<key> <value>', found 'zzz'")
    refused("corpus", *importing(data), says=says, out=data.parent / "out")


@pytest.mark.parametrize("name", ["utt2spk", "text"])
@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_table_that_is_no_file(kind, name, data):
    path = make_special(data / name, kind)
    refused("corpus", *importing(data), says=(path, SPECIAL[kind]), out=data.parent / "out")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("spk-3 rec 0", "expected '<recording> <start> <end> [<channel>]'"),
        ("spk-3 rec 0 1 0 0", "expected '<recording> <start> <end> [<channel>]'"),
        ("spk-3 rec zero one", "expected '<recording> <start> <end> [<channel>]'"),
        ("spk-3 rec 0 1 A", "expected '<recording> <start> <end> [<channel>]'"),
        ("spk-3 rec 0 1 -1", "channel -1"),
        ("spk-3 other 0 1", "its recording 'other' is not in wav.scp"),
        ("spk-3 rec -1 1", "starts at -1 s"),
        ("spk-3 rec 1 0.5", "ends at 0.5 s"),
        ("spk-3 rec nan 1", "starts at nan s"),
        ("spk-3 rec 0 nan", "ends at nan s"),
    ],
)
def test_bad_segments(line, says, data):
    path = data / "segments"
    path.write_text(path.read_text() + line + "\n")
    out = data.parent / "out"
    refused("corpus", *importing(data), says=(path, "'spk-3'", says), out=out)


def test_an_utterance_without_a_speaker(data):
    write_table(data / "utt2spk", {"spk-1": "spk"})
    says = (data / "utt2spk", "no speaker for utterance 'spk-2'")
    refused("corpus", *importing(data), says=says, out=data.parent / "out")


def test_utterances_that_only_one_table_has_are_counted(data, capsys):
    features = write_features(
        data.parent / "feats", {"spk-2": np.ones((9, 4)), "x": np.ones((9, 4))}
    )
    (features / "feats.scp").rename(data / "feats.scp")
    accepted("corpus", *importing(data))
    said = capsys.readouterr().out
    assert "Left out 1 utterances that feats.scp lacks: spk-1" in said
    assert "Left out 1 utterances of feats.scp without audio: x" in said


def test_utterances_that_utt2spk_lacks_are_counted(data, capsys):
    write_table(data / "utt2spk", {"spk-1": "spk"})
    write_table(data / "clusters/utt2spk", {"spk-1": "c1", "spk-2": "c1"})
    out = data.parent / "clustered"
    call("clustered_data", "--data", data, "--clusters", data / "clusters", "--out", out)
    said = capsys.readouterr().out
    assert f"without a line in {data / 'utt2spk'}: 1 utterances, such as 'spk-2'" in said


STRANGE = "caf\u00e9 a\u2028b c\u0085d e\u00a0f g\u3000h i\x1cj \u202e\u200b"


def test_transcripts_are_kept_whole(data):
    """Lines end with a line feed alone, whatever else Unicode calls a line's end."""
    write_table(data / "text", {"spk-1": STRANGE, "spk-2": "x\u2029"})
    accepted("corpus", *importing(data))
    out = data.parent / "out/data/text"
    assert out.read_bytes() == f"spk-1 {STRANGE}\nspk-2 x\u2029\n".encode()
    write_table(data / "clusters/utt2spk", {"spk-1": "c1", "spk-2": "c1"})
    clustered = data.parent / "clustered"
    call("clustered_data", "--data", data, "--clusters", data / "clusters", "--out", clustered)
    assert read_table(clustered / "text") == {"c1-spk-1": STRANGE, "c1-spk-2": "x\u2029"}


def test_fields_are_parted_by_tabs_and_any_number_of_spaces(tmp_path):
    (tmp_path / "t").write_bytes(b"a\t1  2 \n  b   3\n")
    assert read_table(tmp_path / "t") == {"a": "1  2", "b": "3"}


@pytest.mark.parametrize("table", [{"a b": "1"}, {"": "1"}, {"a": "1\nb 2"}, {"a\u2028b": "1"}])
def test_what_could_not_be_read_again_is_not_written(table, tmp_path):
    with pytest.raises(UnspeechError, match="rename it"):
        write_table(tmp_path / "t", table)
    assert not list(tmp_path.iterdir())


CTM = {
    "Latin-1": (b"u 1 0 1 a\xe9\n", ":1: not a text file in UTF-8"),
    "carriage return": (b"u 1 0 1 a\r\n", "holds a carriage return"),
    "few fields": (b"u 1 0 1\n", ":1: expected '<utterance> <channel>"),
    "empty line": (b"u 1 0 1 a\n\n", ":2: expected '<utterance> <channel>"),
    "words for times": (b"u 1 zero 1 a\n", ":1: expected '<utterance> <channel>"),
    "infinite": (b"u 1 0 inf a\n", ":1: expected '<utterance> <channel>"),
    "NaN": (b"u 1 nan 1 a\n", ":1: expected '<utterance> <channel>"),
    "negative": (b"u 1 -1 1 a\n", ":1: expected '<utterance> <channel>"),
    "another utterance's": (b"v 1 0 1 a\n", "no unit of utterance 'u'"),
}


@pytest.mark.parametrize("fault", CTM)
def test_damaged_ctm(fault, tmp_path):
    content, says = CTM[fault]
    (tmp_path / "ctm").write_bytes(content)
    data = write_features(tmp_path / "data", {"u": np.ones((200, 4))})
    command = ["-i", data / "feats.scp", "-n", 0, "-p", tmp_path / "ctm"]
    out = tmp_path / "out"
    refused("show_feats", *command, "--out", out / "a.png", says=(tmp_path / "ctm", says), out=out)


NAMES = {
    "not UTF-8": (b"a\xff.wav", "a name that wav.scp cannot hold"),
    "line feed": (b"a\nb.wav", "a name that wav.scp cannot hold"),
    "carriage return": (b"a\rb.wav", "a name that wav.scp cannot hold"),
}


@pytest.mark.parametrize("fault", NAMES)
def test_names_of_audio_files(fault, tmp_path):
    name, says = NAMES[fault]
    folder = tmp_path / "folder"
    folder.mkdir()
    with open(bytes(folder) + b"/" + name, "wb") as file:
        file.write(wav_bytes(np.zeros(99, np.int16), 16000))
    refused("corpus", "--out", tmp_path / "out", folder, says=("folder", says))


def test_links_in_a_folder_of_audio(tmp_path, capsys):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "a.wav").write_bytes(wav_bytes(np.zeros(99, np.int16), 16000))
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder)
    accepted("corpus", "--out", tmp_path / "out", folder)
    assert list(read_table(tmp_path / "out/wav.scp")) == ["linked-a"]
    assert "Left out 1 links that lead back: again" in capsys.readouterr().out
    (folder / "b.wav").symlink_to(tmp_path / "nothing")
    refused("corpus", "--out", tmp_path / "new", folder, says=("b.wav", "a link to nothing"))
