"""Archives that are cut short, damaged, of other kinds, or no files."""

import gzip
import io
import os
import pickle
import struct

import numpy as np
import pytest
from helpers.data import write_ark
from helpers.faults import SPECIAL, accepted, make_special, refused

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import open_file
from unspeech.kaldi.archives import ArkWriter, iterate_arrays

MATRIX = np.arange(60, dtype=np.float32).reshape(12, 5) / 7
VECTOR = np.arange(9, dtype=np.float32) / 7


def binary(kind: str, *sizes: int, content: bytes) -> bytes:
    return (
        b"\0B"
        + kind.encode()
        + b" "
        + b"".join(b"\4" + struct.pack("<i", s) for s in sizes)
        + content
    )


def compressed(kind: str, rows: int, columns: int, content: bytes) -> bytes:
    return b"\0B" + kind.encode() + b" " + struct.pack("<ffii", 0, 9, rows, columns) + content


def text(array: np.ndarray) -> bytes:
    if array.ndim == 1:
        return b" [ " + " ".join(f"{x:.7g}" for x in array).encode() + b" ]\n"
    lines = ["  " + " ".join(f"{x:.7g}" for x in row) for row in array]
    return (" [\n" + " \n".join(lines) + " ]\n").encode()


KINDS = {  # as Kaldi writes them, without the utterance's name
    "FM": binary("FM", 12, 5, content=MATRIX.astype("<f4").tobytes()),
    "DM": binary("DM", 12, 5, content=MATRIX.astype("<f8").tobytes()),
    "CM": compressed("CM", 12, 5, struct.pack("<4H", 0, 99, 999, 9999) * 5 + bytes(range(60))),
    "CM2": compressed("CM2", 12, 5, np.arange(60, dtype="<u2").tobytes()),
    "CM3": compressed("CM3", 12, 5, bytes(range(60))),
    "text matrix": text(MATRIX),
    "text matrix that begins beside the bracket": text(MATRIX).replace(b"[\n", b"["),
    "FV": binary("FV", 9, content=VECTOR.astype("<f4").tobytes()),
    "DV": binary("DV", 9, content=VECTOR.astype("<f8").tobytes()),
    "text vector": text(VECTOR),
}


def with_sizes(kind: str, value: int) -> bytes:
    """The same object with another number of rows, or dimension, in its header."""
    place = len("\0B" + kind + " ") + (8 if kind.startswith("C") else 1)
    return KINDS[kind][:place] + struct.pack("<i", value) + KINDS[kind][place + 4 :]


FAULTS = {
    "its last byte is missing": lambda kind: KINDS[kind].rstrip(b"\n")[:-1],
    "half of it is missing": lambda kind: KINDS[kind][: len(KINDS[kind]) // 2],
    "it ends in its header": lambda kind: KINDS[kind][:5],
    "another kind": lambda kind: b"\0BXM " + KINDS[kind][5:],
}
SIZES = {"2^31 - 1 rows": 2**31 - 1, "-1 rows": -1}
BINARY = [kind for kind in KINDS if not kind.startswith("text")]
CASES = {(kind, fault): make(kind) for kind in KINDS for fault, make in FAULTS.items()}
CASES |= {(k, fault): with_sizes(k, size) for k in BINARY for fault, size in SIZES.items()}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def copied(scp, out) -> list:
    return ["--out", out / "feats.scp", "--ark", out / "feats.ark", scp]


@pytest.mark.parametrize("kind", KINDS)
def test_sound_ones_are_read_alike_by_place_and_in_order(kind, tmp_path, out):
    (tmp_path / "x.ark").write_bytes(b"u-1 " + KINDS[kind] + b"u-2 " + KINDS[kind])
    places = {"u-1": 4, "u-2": 8 + len(KINDS[kind])}
    lines = [f"{name} {tmp_path / 'x.ark'}:{place}\n" for name, place in places.items()]
    (tmp_path / "x.scp").write_text("".join(lines))
    accepted("join_scps", *copied(tmp_path / "x.scp", out))
    expected = VECTOR if kind in ("FV", "DV", "text vector") else MATRIX
    for path in (tmp_path / "x.ark", tmp_path / "x.scp", out / "feats.scp"):
        found = dict(iterate_arrays(path))
        assert list(found) == ["u-1", "u-2"]
        for array in found.values():
            assert array.dtype == np.float32
            assert array.shape == expected.shape
            if not kind.startswith("C"):
                np.testing.assert_allclose(array, expected, rtol=1e-6)


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_damaged_object_at_a_place(kind, fault, tmp_path, out):
    (tmp_path / "x.ark").write_bytes(b"u-1 " + CASES[kind, fault])
    (tmp_path / "x.scp").write_text(f"u-1 {tmp_path / 'x.ark'}:4\n")
    refused("join_scps", *copied(tmp_path / "x.scp", out), says=("'u-1'", "x.ark:4"), out=out)


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_damaged_object_in_an_archive(kind, fault, tmp_path, out):
    ark = tmp_path / "x.ark"
    ark.write_bytes(b"u-1 " + KINDS[kind] + b"u-2 " + CASES[kind, fault])
    command = ["--mode", "stats", "-i", ark, "--out", out / "stats.png"]
    refused("show_feats", *command, says=(ark, "after utterance 'u-1'"), out=out)


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, MATRIX)
    return b"NPY" + bytes([2]) + len(file.getvalue()).to_bytes(2, "little") + file.getvalue()


FOREIGN = {
    "NPY": npy(),
    "AUDIO": b"AUDIO" + bytes([1, 44]) + b"RIFF" + bytes(40),
    "RIFF": b"RIFF" + bytes(80),
    "fLaC": b"fLaC" + bytes(80),
    "integers": b"\0B\4\2\0\0\0" + b"\4\1\0\0\0" * 2,
    "integers as text": b"1 2 3\n",
    "a token": b"\0B<Nnet3> ",
    "zeros": bytes(100),
    "nothing": b"",
    "words": b" [ one two ]\n",
    "rows of two lengths": b" [\n 1 2\n 3 ]\n",
    "more after its end": b" [ 1 2 ] 3\n",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_other_kinds(what, tmp_path, out):
    (tmp_path / "x.ark").write_bytes(b"u-1 " + FOREIGN[what])
    (tmp_path / "x.scp").write_text(f"u-1 {tmp_path / 'x.ark'}:4\n")
    refused("join_scps", *copied(tmp_path / "x.scp", out), says=("x.scp", "'u-1'"), out=out)
    command = ["--mode", "stats", "-i", tmp_path / "x.ark", "--out", out / "stats.png"]
    refused("show_feats", *command, says="x.ark", out=out)


@pytest.mark.parametrize("through", ["scp", "ark", "pipe"])
def test_nothing_is_unpickled(through, tmp_path, out):
    content = b"PKL" + pickle.dumps(Payload(f"touch {tmp_path / 'executed'}"))
    (tmp_path / "x.ark").write_bytes(b"u-1 " + content)
    (tmp_path / "object").write_bytes(content)
    entry = {"scp": f"{tmp_path / 'x.ark'}:4", "pipe": f"cat {tmp_path / 'object'} |"}
    (tmp_path / "x.scp").write_text(f"u-1 {entry.get(through)}\n")
    path = tmp_path / ("x.ark" if through == "ark" else "x.scp")
    refused("cluster", "--embeddings", path, "--out", out, says=(path, "b'PKL"))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("through", ["scp", "ark", "ark.gz"])
def test_no_regular_file(through, kind, tmp_path, out):
    path = make_special(tmp_path / ("x.ark" if through == "scp" else f"x.{through}"), kind)
    if through == "scp":
        path = tmp_path / "x.scp"
        path.write_text(f"u-1 {tmp_path / 'x.ark'}:4\n")
    says = "holds neither" if kind == "directory" and through != "scp" else SPECIAL[kind]
    refused("cluster", "--embeddings", path, "--out", out, says=(path, says))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{ark}:99999", "lies beyond the end"),
        ("{ark}:12345678901234567890123", "no such file"),
        ("{ark}:3", "cannot read"),
        ("{ark}:-4", "no such file"),
        ("{ark}:4[0:99]", "there is no range [0:99]"),
        ("{ark}:4[3:2]", "there is no range [3:2]"),
        ("{ark}:4[0:3,4:9]", "there is no range [0:3,4:9]"),
        ("{ark}:4[a:b]", "there is no range [a:b]"),
        ("{ark}:4[0:99999999999999999999]", "there is no range"),
        ("{ark}:4[0:3,0:1,0:1]", "there is no range"),
        ("false |", "'false' ended with status 1"),
        ("cat /nonexistent |", "No such file"),
        ("true |", "it ends"),
        ("echo no |", "not a matrix or vector"),
        (f"{'x' * 300}.ark:4", "File name too long"),
    ],
)  # fmt: skip
def test_bad_entries(entry, says, tmp_path, out):
    (tmp_path / "x.ark").write_bytes(b"u-1 " + KINDS["FM"])
    (tmp_path / "x.scp").write_text(f"u-1 {entry.format(ark=tmp_path / 'x.ark')}\n")
    scp = tmp_path / "x.scp"
    refused("join_scps", *copied(scp, out), says=("'u-1'", says), out=out)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no utterance"),
        (b"u-1", "no name of an utterance"),
        (b"u\xff-1 " + KINDS["FM"], "at its start"),
        (b" " + KINDS["FM"], "no name of an utterance"),
        (b"a\xc2\xa0b " + KINDS["FM"], "no name of an utterance"),
        (b"x" * 20_000 + b" " + KINDS["FM"], "no name of an utterance"),
        (gzip.compress(b"u-1 " + KINDS["FM"]), "x.ark: "),
    ],
)
def test_bad_archives(content, says, tmp_path, out):
    (tmp_path / "x.ark").write_bytes(content)
    refused("cluster", "--embeddings", tmp_path / "x.ark", "--out", out, says=("x.ark", says))


@pytest.mark.parametrize("fault", ["no gzip", "cut", "damaged"])
def test_bad_gzipped_archives(fault, tmp_path, out):
    content = gzip.compress(b"".join(b"u-%d " % i + KINDS["FM"] for i in range(50)))
    spoilt = {
        "no gzip": KINDS["FM"],
        "cut": content[: len(content) // 2],
        "damaged": content[:30] + b"\xff" * 9 + content[39:],
    }[fault]
    (tmp_path / "x.ark.gz").write_bytes(spoilt)
    refused("cluster", "--embeddings", tmp_path / "x.ark.gz", "--out", out, says="x.ark.gz")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_not_written(number, tmp_path):
    def write() -> None:
        with ArkWriter(tmp_path / "x.ark") as writer:
            writer.write("u-1", VECTOR)
            writer.write("u-2", np.array([1, number]))

    with pytest.raises(UnspeechError, match=r"x.ark: utterance 'u-2': NaN or infinite"):
        write()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_copied(number, tmp_path, out):
    scp = write_ark(tmp_path / "x.ark", {"u-1": VECTOR, "u-2": np.array([1, number])})
    refused("join_scps", *copied(scp, out), says=("feats.ark", "'u-2'"), out=out)


def test_a_file_is_opened_that_only_looks_like_another(tmp_path):
    (tmp_path / "a:b").write_text("text")
    with open_file(tmp_path / "a:b") as file:
        assert file.read() == b"text"
