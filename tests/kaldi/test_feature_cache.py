"""The cache of decoded features: made once, made again, refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.corpora import VOICES, assert_same, save
from helpers.data import write_features
from helpers.models import tiny_options
from helpers.programs import call
from helpers.shell import STEPS, run

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.features import load_corpus


def test_half_precision_takes_half_the_room(data, tmp_path):
    cache = tmp_path / "cache"
    corpus = load_corpus(data, 40, cache, "float16")
    assert_same(corpus, tolerance=0.01)
    assert corpus.features(0).dtype == np.float32
    assert sum(path.stat().st_size for path in cache.iterdir()) < 0.55 * sum(
        matrix.nbytes for matrix in VOICES.values()
    )
    assert len(list(cache.iterdir())) == 3, "no file an utterance"
    with pytest.raises(UnspeechError, match="give memmap_dir, too"):
        load_corpus(data, 40, memmap_dtype="float16")
    with pytest.raises(UnspeechError, match="memmap_dtype is int8"):
        load_corpus(data, 40, cache, "int8")

    large = write_features(tmp_path / "large", {"s-u": VOICES["s0-u0"] + 1e5})
    with pytest.raises(UnspeechError, match=r"utterance 's-u': 1000.* too large for float16"):
        load_corpus(large, 40, tmp_path / "other", "float16")
    assert not list((tmp_path / "other").iterdir()), "nothing half-written is left"


def test_a_cache_is_used_again_until_its_features_change(data, tmp_path):
    ark, cache = data / "feats.ark", tmp_path / "cache"
    load_corpus(ark, 40, cache)
    before = (cache / "frames").stat().st_ino
    assert_same(load_corpus(ark, 40, cache))
    assert (cache / "frames").stat().st_ino == before, "it was not made again"

    with pytest.raises(UnspeechError, match=r"cache was made from .* \(memmap_dtype differ\)"):
        load_corpus(ark, 40, cache, "float16")
    other = {u: m[:80] for u, m in VOICES.items()}
    write_features(data, other)
    with pytest.raises(UnspeechError, match=r"\(features differ\).*--memmap-reuse-cache false"):
        load_corpus(ark, 40, cache)
    assert_same(load_corpus(ark, 40, cache, memmap_reuse_cache=False), other)
    assert_same(load_corpus(ark, 40, cache), other)


def test_a_cache_serves_when_its_features_are_gone(data, tmp_path):
    compressed = save(tmp_path / "compressed", compression_method=2)
    cache = tmp_path / "cache"
    expected = {u: f.copy() for u, f in iterate_arrays(compressed)}
    load_corpus(compressed, 40, cache)
    compressed.with_suffix(".ark").unlink()
    assert_same(load_corpus(compressed, 40, cache), expected)
    compressed.unlink()
    assert_same(load_corpus(compressed, 40, cache), expected)
    with pytest.raises(UnspeechError, match=r"compressed.scp \(feat_size differ\)"):
        load_corpus(compressed, 39, cache)
    for options in ({"memmap_dir": tmp_path / "none"}, {"memmap_reuse_cache": False}):
        with pytest.raises(UnspeechError, match=r"compressed.scp: no such file"):
            load_corpus(compressed, 40, **{"memmap_dir": cache} | options)


def test_features_that_are_not_there_are_not_those_of_another_directory(data, tmp_path):
    source, cache = save(data / "feats", compression_method=2), tmp_path / "cache"
    load_corpus(data, 40, cache)
    (tmp_path / "dev").mkdir()
    for missing in (tmp_path / "dev", tmp_path / "misspelt"):
        with pytest.raises(UnspeechError, match=r"was made from something else.*source differ"):
            load_corpus(missing, 40, cache)
    source.unlink()
    load_corpus(data, 40, cache)
    lines = (cache / "made_from").read_text().splitlines(keepends=True)
    (cache / "made_from").write_text("".join(x for x in lines if not x.startswith("source ")))
    load_corpus(data, 40, cache)  # as earlier versions made it


def test_an_incomplete_cache_is_made_again_and_a_damaged_one_refused(data, tmp_path):
    ark, cache = data / "feats.ark", tmp_path / "cache"
    load_corpus(ark, 40, cache)
    (cache / "made_from").unlink()
    (cache / "index").write_text("s0-u0 1\n")
    assert_same(load_corpus(ark, 40, cache))
    with (cache / "frames").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(UnspeechError, match=r"frames: 1000 bytes, but .*index says"):
        load_corpus(ark, 40, cache)


def test_training_takes_a_cache(tiny_data, tmp_path):
    ark = shutil.copy(tiny_data / "feats.ark", tmp_path / "feats.ark")
    tiny = tiny_options(num_steps=1, embedding_transformation="BaselineDnn")
    cache = ["--memmap_dir", tmp_path / "cache", "--memmap_dtype", "float16"]
    first = [*tiny, *cache, "--memmap_reuse_cache", "false"]
    call("train", "--data", ark, "--dir", tmp_path / "model", *first)
    assert (tmp_path / "cache" / "frames").exists()
    Path(ark).unlink()
    words = " ".join(map(str, [*tiny, *cache]))
    step = run(STEPS / "train.sh", "--filelist", ark, "--train-opts", words, tmp_path / "alone")
    assert step.returncode == 0, step.stderr
    same = [(tmp_path / name / "final.ie.id").read_text() for name in ("model", "alone")]
    assert same[0] == same[1]
