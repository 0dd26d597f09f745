"""Which forms of features a corpus is made of, and what is refused."""

import gzip
import re
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import scipy.fft
from helpers.corpora import VOICES, assert_same, save
from helpers.data import write_features

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi import corpus as corpus_module
from unspeech.kaldi.corpus import Corpus
from unspeech.kaldi.features import load_corpus
from unspeech.network.config_files import make_config
from unspeech.training.sampling import ContextSampler


def edit_scp(data: Path, edit) -> Path:
    """Change each line of feats.scp, given as (number, line); returns the file."""
    scp = data / "feats.scp"
    lines = scp.read_text().splitlines()
    scp.write_text("".join(edit(i, line) + "\n" for i, line in enumerate(lines)))
    return scp


def is_mapped(corpus: Corpus) -> bool:
    return all(isinstance(source.base, np.memmap) for source in corpus._sources)


FORMS = {
    "directory": lambda path: write_features(path, VOICES),
    "scp": lambda path: write_features(path, VOICES) / "feats.scp",
    "ark": lambda path: write_features(path, VOICES) / "feats.ark",
    "ark.gz": lambda path: gzipped(write_features(path, VOICES) / "feats.ark"),
    "text": lambda path: save(path, text=True),
    "double": lambda path: save(path, {u: m.astype(np.float64) for u, m in VOICES.items()}),
    "pipe": lambda path: piped(save(path)),
}


def gzipped(ark: Path) -> Path:
    path = ark.with_suffix(".ark.gz")
    path.write_bytes(gzip.compress(ark.read_bytes()))
    return path


def piped(scp: Path) -> Path:
    entries = kaldiio.load_scp(str(scp))
    lines = []
    for utterance in entries:
        kaldiio.save_mat(str(scp.parent / utterance), entries[utterance])
        lines.append(f"{utterance} cat {scp.parent / utterance} |\n")
    scp.write_text("".join(lines))
    return scp


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cached", [False, True])
def test_each_form_gives_the_same_features(form, cached, tmp_path):
    (tmp_path / "in").mkdir()
    source = FORMS[form](tmp_path / "in" / "x")
    cache = tmp_path / "cache"
    corpus = load_corpus(source, 40, memmap_dir=cache if cached else "")
    assert_same(corpus, tolerance=1e-4 if form == "text" else 0)
    in_place = form in ("directory", "scp")
    assert is_mapped(corpus) == (in_place or cached)
    assert cache.exists() == (cached and not in_place), "an uncompressed ark needs no cache"


@pytest.mark.parametrize("method", [2, 3, 5])
def test_compressed_matrices_are_decoded(method, tmp_path):
    positive = {u: np.clip(m / 20, 0, 1) for u, m in VOICES.items()}
    scp = save(tmp_path / "x", positive, compression_method=method)
    assert_same(load_corpus(scp, 40), positive, tolerance=0.02)
    assert_same(load_corpus(scp, 40, memmap_dir=tmp_path / "cache"), positive, tolerance=0.02)


def several_archives(directory: Path) -> Path:
    parts = [dict(list(VOICES.items())[i::3]) for i in range(3)]
    scps = [save(directory / f"{i}", part) for i, part in enumerate(parts)]
    lines = sorted(line for scp in scps for line in scp.read_text().splitlines())
    (directory / "feats.scp").write_text("\n".join(lines) + "\n")
    return directory / "feats.scp"


@pytest.mark.parametrize("mapped_bytes", [0, 70_000, 1 << 30])
def test_batches_do_not_depend_on_where_features_lie(mapped_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_module, "_MAPPED_AT_MOST", mapped_bytes)
    scp = several_archives(tmp_path)
    cached = load_corpus(save(tmp_path / "all", text=False).with_suffix(".ark"), 40, tmp_path / "c")
    config = make_config({"window_length": 16, "window_neg_length": 16, "batch_size": 5}, "test")
    memory = Corpus.in_memory(list(VOICES), list(VOICES.values()))
    first, *others = (
        ContextSampler(corpus, np.arange(6), config, 0)
        for corpus in (memory, load_corpus(scp, 40), cached)
    )
    for step in range(5):
        expected = first.batch(step)
        for other in others:
            batch = other.batch(step)
            np.testing.assert_array_equal(batch.targets, expected.targets, strict=True)
            np.testing.assert_array_equal(batch.contexts, expected.contexts, strict=True)
            np.testing.assert_array_equal(batch.negatives, expected.negatives, strict=True)


@pytest.mark.parametrize(
    ("limits", "rows", "columns"),
    [
        ("[0:49]", slice(0, 50), slice(0, 40)),
        ("[10:10]", slice(10, 11), slice(0, 40)),
        ("[7:49,:]", slice(7, 50), slice(0, 40)),
        ("[3:60,0:9]", slice(3, 61), slice(0, 10)),
        ("[:,30:39]", slice(0, None), slice(30, 40)),
        ("[,30:39]", slice(0, None), slice(30, 40)),
    ],
)
def test_ranges(data, tmp_path, limits, rows, columns):
    scp = edit_scp(data, lambda i, line: line + limits)
    expected = {u: m[rows, columns] for u, m in VOICES.items()}
    corpus = load_corpus(scp, columns.stop - columns.start)
    assert_same(corpus, expected)
    assert is_mapped(corpus) == (columns == slice(0, 40))

    text = save(tmp_path / "text", text=True)
    text.write_text("".join(line + limits + "\n" for line in text.read_text().splitlines()))
    assert_same(load_corpus(text, columns.stop - columns.start), expected, tolerance=1e-4)


@pytest.mark.parametrize("text", [False, True])
def test_a_range_may_end_three_rows_late_and_no_later(tmp_path, text):
    scp = save(tmp_path / "x", {"u": VOICES["s0-u0"]}, text=text)
    length = len(VOICES["s0-u0"])
    entry = scp.read_text().strip()
    scp.write_text(f"{entry}[5:{length + 2}]\n")
    assert load_corpus(scp, 40).lengths.tolist() == [length - 5]
    for limits in (
        f"[5:{length + 3}]",
        "[9:8]",
        f"[{length}:{length}]",
        "[5]",
        "[a:b]",
        "[:,0:40]",
    ):
        scp.write_text(f"{entry}{limits}\n")
        with pytest.raises(UnspeechError, match=r"x.scp: utterance 'u': there is no range \["):
            load_corpus(scp, 40)


def shorten(data: Path) -> None:
    ark = data / "feats.ark"
    ark.write_bytes(ark.read_bytes()[:-4])


def speech_bands(seed: int = 0) -> np.ndarray:
    """Energies of mel bands that rise and fall together, as in speech."""
    rng = np.random.default_rng(seed)
    loudness = np.repeat(rng.normal(12, 3, size=(20, 1)), 10, axis=0)
    return (loudness + rng.normal(size=(200, 40))).astype(np.float32)


def put_cepstra(data: Path) -> None:
    bands = {u: speech_bands(i) for i, u in enumerate(VOICES)}
    assert len(load_corpus(write_features(data, bands), 40).utterances) == len(VOICES)
    write_features(data, bands | {"s1-u1": scipy.fft.dct(bands["s1-u1"], norm="ortho")})


def put_nan(data: Path) -> None:
    spoilt = {u: m.copy() for u, m in VOICES.items()}
    spoilt["s1-u0"][17, 3] = np.nan
    write_features(data, spoilt)


BAD = {
    "truncated": (shorten, r"feats.scp: utterance 's1-u2': .*feats.ark:\d+ lies beyond the end"),
    "offset beyond the file": (
        lambda data: edit_scp(data, lambda i, line: line + "0000" * (i == 1)),
        r"feats.scp: utterance 's0-u1': .*feats.ark:\d+0000 lies beyond the end",
    ),
    "offset elsewhere": (
        lambda data: edit_scp(data, lambda i, line: re.sub(r"\d+$", "3", line) if i == 1 else line),
        r"feats.scp: utterance 's0-u1': cannot read .*truncated, or not a Kaldi archive",
    ),
    "no archive": (
        lambda data: (data / "feats.ark").unlink(),
        r"feats.scp: utterance 's0-u0': .*feats.ark: no such file",
    ),
    "NaN": (put_nan, r"feats.scp: utterance 's1-u0': NaN or infinite value in frame 17"),
    "one of another dimension": (
        lambda data: write_features(data, VOICES | {"s1-u1": VOICES["s1-u1"][:, :39]}),
        r"feats.scp: utterance 's1-u1': features have 39 dimensions, the model expects 40",
    ),
    "MFCC": (put_cepstra, r"feats.scp: utterance 's1-u1': these look like MFCC; log-FBANK"),
    "no frames": (
        lambda data: write_features(data, VOICES | {"s1-u1": np.zeros((0, 40))}),
        r"feats.scp: utterance 's1-u1': has no frames",
    ),
    "no directory": (lambda data: (data / "feats.scp").unlink(), "feats.scp: no such file; run"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_archives_are_refused_by_name(data, what):
    spoil, message = BAD[what]
    spoil(data)
    with pytest.raises(UnspeechError, match=message):
        load_corpus(data, 40)


def test_an_utterance_twice_in_an_ark_is_refused(data):
    ark = data / "feats.ark"
    ark.write_bytes(2 * ark.read_bytes())
    with pytest.raises(UnspeechError, match=r"feats.ark: utterance 's0-u0' occurs twice"):
        load_corpus(ark, 40)


def test_archives_may_be_replaced_while_in_use_but_not_cut(data, monkeypatch):
    monkeypatch.setattr(corpus_module, "_MAPPED_AT_MOST", 0)
    corpus = load_corpus(data, 40)
    write_features(data, {"other-u": np.zeros((3, 40))})
    assert_same(corpus)
    corpus = load_corpus(data, 40)
    with (data / "feats.ark").open("r+b") as file:
        file.truncate(20)
    with pytest.raises(UnspeechError, match=r"feats.ark: the file has been cut short"):
        corpus.features(0)
