"""Audio that is cut short, damaged, of strange levels, or no audio."""

import io
import struct

import numpy as np
import pytest
import soundfile
from helpers.faults import accepted, make_special, refused
from helpers.programs import ROOT

from unspeech.audio.decoding import decode
from unspeech.kaldi.tables import read_table, write_table

RATE = 16000
FORMATS = [
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "GSM610"),
    ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"),
    ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("NIST", "PCM_16"), ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip
CODED: dict[tuple[str, str], bytes] = {}


def coded(kind: tuple[str, str]) -> bytes:
    """3 s of noise that comes and goes, in a format."""
    if kind not in CODED:
        file = io.BytesIO()
        level = np.sin(np.arange(3 * RATE) / 2000)
        noise = np.random.default_rng(0).standard_normal(3 * RATE)
        soundfile.write(file, 0.1 * level * noise, RATE, kind[1], format=kind[0])
        CODED[kind] = file.getvalue()
    return CODED[kind]


FAULTS = {
    "its last tenth is missing": lambda b: b[: len(b) * 9 // 10],
    "half of it is missing": lambda b: b[: len(b) // 2],
    "most of it is missing": lambda b: b[: len(b) // 10],
    "a header alone": lambda b: b[:40],
    "its header is damaged": lambda b: bytes(64) + b[64:],
}


@pytest.fixture
def data(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "good.wav").write_bytes(coded(("WAV", "PCM_16")))
    return data


def fbank(data, config="", **more) -> list:
    """Options of a job on a data directory; its output is in `out` beside it."""
    out = data.parent / "out"
    path = data / "fbank.conf"
    path.write_text((ROOT / "conf/fbank.conf").read_text() + config + "\n")
    files = {"ark": "f.ark", "scp": "f.scp", "num-frames": "frames", "durations": "durations"}
    words = ["--data", data, "--config", path, "--failed", data.parent / "failed"]
    for name, file in files.items():
        words += [f"--{name}", out / file]
    return words + [word for name, value in more.items() for word in (f"--{name}", value)]


def refuse(data, entry: str, *says) -> None:
    write_table(data / "wav.scp", {"bad": entry, "good": "good.wav"})
    says = (data / "wav.scp", "utterance 'bad'", *says)
    refused("fbank", *fbank(data), says=says, out=data.parent / "out")
    assert list(read_table(data.parent / "failed")) == ["bad"]


@pytest.mark.parametrize("kind", FORMATS)
def test_sound_ones_are_taken(kind):
    samples, rate, channels = decode(io.BytesIO(coded(kind)))
    assert (rate, channels) == (RATE, 1)
    assert 3 * RATE <= len(samples) < 3.1 * RATE


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_file(kind, fault, data):
    (data / "bad.audio").write_bytes(FAULTS[fault](coded(kind)))
    refuse(data, "bad.audio", "bad.audio")


@pytest.mark.parametrize("kind", [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS")])
@pytest.mark.parametrize("fraction", [0.3, 0.95])
def test_cut_output_of_a_pipe(kind, fraction, data):
    content = coded(kind)
    (data / "x").write_bytes(content)
    refuse(data, f"head -c {int(fraction * len(content))} {data / 'x'} |", "head -c")


def test_a_pipe_whose_first_program_fails(data):
    """What follows takes the half that came for all of it, and ends well."""
    (data / "x").write_bytes(coded(("WAV", "PCM_16")))
    refuse(data, f"(head -c 50000 {data / 'x'}; exit 3) | cat |", "ended with status 3")
    entry = f"cat {data / 'x'} | (head -c 90000; cat) | cat |"
    write_table(data / "wav.scp", {"good": entry, "early": f"yes | head -c 9 > /dev/null; {entry}"})
    accepted("fbank", *fbank(data))


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFEFFC])
def test_a_header_that_was_written_to_a_pipe(size):
    """Nobody knew the length: all that comes is the recording, as in Kaldi."""
    content = bytearray(coded(("WAV", "PCM_16")))
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    content[4:8] = struct.pack("<I", min(size + 36, 0xFFFFFFFF))
    assert len(decode(io.BytesIO(bytes(content)))[0]) == 3 * RATE


@pytest.mark.parametrize("kind", ["WAV", "RF64", "W64", "AIFF"])
def test_a_long_recording_of_which_little_is_left(kind, data):
    """A length of more than 2 GiB is no mark of a pipe."""
    content, size = bytearray(coded((kind, "PCM_16"))), 2_400_000_000
    of_data = {"WAV": ("<I", b"data", 4), "RF64": ("<Q", b"ds64", 16), "W64": ("<Q", b"data", 16)}
    form, mark, after = of_data.get(kind, (">I", b"SSND", 4))
    struct.pack_into(form, content, content.index(mark) + after, size)
    of_file = {"WAV": ("<I", 4), "RF64": ("<Q", 20), "W64": ("<Q", 16), "AIFF": (">I", 4)}
    struct.pack_into(of_file[kind][0], content, of_file[kind][1], size + 100)
    (data / "bad.audio").write_bytes(content)
    refuse(data, "bad.audio", "cut short")


def pages_of(content: bytes) -> list[bytes]:
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


OGG_FAULTS = {
    "a byte of a page is another": lambda p: [*p[:3], p[3][:-9] + b"\0" + p[3][-8:], *p[4:]],
    "a page is missing": lambda p: [*p[:3], *p[4:]],
    "two pages have changed places": lambda p: [*p[:2], p[3], p[2], *p[4:]],
    "something else between pages": lambda p: [*p[:3], b"junk", *p[3:]],
    "something else at the end": lambda p: [*p, b"junk"],
    "another recording after it": lambda p: [*p, *p],
}


@pytest.mark.parametrize("fault", OGG_FAULTS)
@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_damaged_ogg(codec, fault, data):
    """Decoders leave out such a page without a word, so that the rest would come too early."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).standard_normal(20 * RATE)
    soundfile.write(file, 0.1 * noise, RATE, codec, format="OGG")
    pages = pages_of(file.getvalue())
    assert len(pages) > 5
    assert len(decode(io.BytesIO(b"".join(pages)))[0]) == 20 * RATE
    (data / "bad.ogg").write_bytes(b"".join(OGG_FAULTS[fault](pages)))
    refuse(data, "bad.ogg", "bad.ogg")


def test_nothing_of_one_recording_is_in_another(data):
    """The part of an MP3 that is missing was filled up with what lay in memory."""
    (data / "bad.mp3").write_bytes(FAULTS["half of it is missing"](coded(FORMATS[-1])))
    write_table(data / "wav.scp", {"bad": "bad.mp3", "good": "good.wav"})
    accepted("fbank", *fbank(data, **{"max-failed": 1}))
    assert list(read_table(data.parent / "out/f.scp")) == ["good"]
    assert "cut short" in read_table(data.parent / "failed")["bad"]


ENTRIES = {
    "false |": "'false' ended with status 1",
    "echo no |": "cannot be decoded",
    "true |": "cannot be decoded",
    "cat /nonexistent/a.wav |": "No such file or directory",
    "nosuchprogram |": "ended with status 127",
    "nowhere.wav": "no such file",
    "/dev/zero": "not a file",
    "/tmp": "not a file",
    "empty.wav": "cannot be decoded",
    "text.wav": "cannot be decoded",
    "noise.raw": "cannot be decoded",
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_is_no_audio(entry, data):
    (data / "empty.wav").touch()
    (data / "text.wav").write_text("no audio, but words\n" * 100)
    (data / "noise.raw").write_bytes(np.random.default_rng(0).bytes(9999))
    refuse(data, entry, ENTRIES[entry])


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "missing", "loop"])
def test_what_is_no_file(kind, data):
    make_special(data / "bad.wav", kind)
    refuse(data, "bad.wav", "bad.wav")


LEVELS = {
    "NaN": (np.nan, "NaN or infinite sample"),
    "infinity": (np.inf, "NaN or infinite sample"),
    "integers as floats": (30_000, "samples of up to 30000; floats are expected to lie within ±1"),
    "garbage": (1e28, "samples of up to 1e+28"),
}


@pytest.mark.parametrize("level", LEVELS)
def test_strange_levels(level, data):
    value, says = LEVELS[level]
    samples = np.zeros(RATE)
    samples[999] = value
    soundfile.write(data / "bad.wav", samples, RATE, "FLOAT")
    refuse(data, "bad.wav", says)


def test_floats_beyond_full_scale_are_counted(data, capsys):
    soundfile.write(data / "loud.wav", np.linspace(-1.5, 1.5, RATE), RATE, "FLOAT")
    write_table(data / "wav.scp", {"good": "good.wav", "loud": "loud.wav"})
    accepted("fbank", *fbank(data))
    assert "1 recordings have samples beyond ±1, clipped there" in capsys.readouterr().out


SEGMENTS = {"bad rec 9 10": "of a recording of 3.00 s", "bad rec 0 9": "of a recording of 3.00 s"}


@pytest.mark.parametrize("segment", [*SEGMENTS, "bad rec 0.5 0.505"])
def test_segments_that_do_not_fit(segment, data):
    write_table(data / "wav.scp", {"rec": "good.wav"})
    (data / "segments").write_text(f"{segment}\n")
    says = (data / "wav.scp", "utterance 'bad'", SEGMENTS.get(segment, "shorter than one frame"))
    refused("fbank", *fbank(data), says=says, out=data.parent / "out")


def test_utterances_that_the_data_directory_lacks(data):
    write_table(data / "wav.scp", {"good": "good.wav"})
    (data / "list").write_text("other\n")
    says = (data / "wav.scp", "no line for utterance 'other'")
    command = fbank(data, utterances=data / "list")
    refused("fbank", *command, says=says, out=data.parent / "out")
