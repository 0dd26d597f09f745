"""Archives of rows: compressed, read by Kaldi's own code, made by extract.sh."""

import shutil

import kaldi_native_io
import kaldiio
import numpy as np
import pytest
from helpers.data import LENGTHS, noise, write_features
from helpers.programs import call
from helpers.shell import STEPS, run

from unspeech.embedding.rows import RowOptions, rows_id
from unspeech.kaldi.archives import ArkWriter, iterate_arrays
from unspeech.kaldi.speakers import split_speakers
from unspeech.kaldi.tables import read_table, write_table


def compressed(path, matrices):
    with ArkWriter(path, compress=True) as writer:
        for name, matrix in matrices.items():
            writer.write(name, matrix)
    return path


def test_compressed_archives_are_kaldis(tmp_path):
    rng = np.random.default_rng(0)
    matrices = {f"u{n}": rng.normal(size=(n, 8)).astype(np.float32) for n in (1, 4, 8, 9, 300)}
    matrices["constant"] = np.full((20, 8), 0.5, np.float32)
    ours = compressed(tmp_path / "ours.ark", matrices)
    theirs = tmp_path / "theirs.ark"
    automatic = kaldi_native_io.CompressionMethod.kAutomaticMethod
    with kaldi_native_io.CompressedMatrixWriter(f"ark:{theirs}") as writer:
        for name, matrix in matrices.items():
            writer.write(name, matrix, automatic)
    data = ours.read_bytes()
    assert len(data) == theirs.stat().st_size
    assert data.count(b"\0BCM2 ") == 3, "matrices of up to 8 rows"
    assert data.count(b"\0BCM ") == 3
    with (
        kaldi_native_io.SequentialFloatMatrixReader(f"ark:{ours}") as one,
        kaldi_native_io.SequentialFloatMatrixReader(f"ark:{theirs}") as two,
    ):
        for (name, own), (_, other) in zip(one, two, strict=True):
            np.testing.assert_allclose(own, other, atol=0.03)
            np.testing.assert_allclose(own, matrices[name], atol=0.06)
    for name, own in iterate_arrays(ours):
        np.testing.assert_allclose(own, matrices[name], atol=0.06)


@pytest.mark.parametrize(
    ("compress", "causal", "average"),
    [("kaldi_bin", "false", "none"), ("kaldi_compressed", "true", "running")],
)
def test_read_by_kaldis_own_code(tiny_model, tmp_path, compress, causal, average):
    data = write_features(tmp_path / "data", {f"u{n:03}": noise(n) for n in LENGTHS})
    options = ["--output-feat-format", compress, "--causal", causal, "--average", average]
    call("embed", *options, "--feats", data / "feats.scp", "--model", tiny_model, "--period", 7,
         "--ark", tmp_path / "iv.ark")  # fmt: skip
    with kaldi_native_io.SequentialFloatMatrixReader(f"scp:{tmp_path}/iv.scp") as reader:
        shapes = {name: rows.shape for name, rows in reader}
    assert shapes == {f"u{n:03}": (-(-n // 7), 8) for n in LENGTHS}
    assert (tmp_path / "ivector_period").read_text() == "7\n"
    if not shutil.which("feat-to-dim"):
        pytest.skip("no compiled Kaldi on PATH: not read by its programs")
    scp = f"scp:{tmp_path}/iv.scp"
    assert run("feat-to-dim", scp, "-").stdout == "8\n"
    copied = run("copy-feats", "--compress=true", scp, f"ark:{tmp_path}/copy.ark")
    assert f"Copied {len(LENGTHS)} feature matrices" in copied.stderr
    if compress == "kaldi_compressed":
        assert (tmp_path / "copy.ark").stat().st_size == (tmp_path / "iv.ark").stat().st_size


def test_step_with_kaldis_options(tiny_model, tiny_data, tmp_path):
    out = tmp_path / "iv"
    options = ["--average", "running", "--utts-per-spk-max", 2, "--compress", "true"]
    options += ["--causal", "true", "--normalize-rows", "true", "--period", 5]
    command = [STEPS / "extract.sh", *options, "--nj", 2, tiny_data, tiny_model, out]
    step = run(*command)
    assert step.returncode == 0, step.stderr
    features = kaldiio.load_scp(str(tiny_data / "feats.scp"))
    rows = dict(iterate_arrays(out / "ivector_online.scp"))
    assert {name: len(own) for name, own in rows.items()} == {
        name: -(-len(own) // 5) for name, own in features.items()
    }
    assert list(rows) == sorted(features)
    assert (out / "final.ie.id").read_text() == rows_id(tiny_model, RowOptions(normalize_rows=True))
    assert (out / "ivector_period").read_text() == "5\n"
    write_table(tmp_path / "spk2utt", {
        speaker: " ".join(own)
        for speaker, own in split_speakers(read_table(tiny_data / "utt2spk"), 2).items()
    })  # fmt: skip
    call("embed", "--causal", "--normalize-rows", "--average", "running", "--period", 5,
         "--spk2utt", tmp_path / "spk2utt", "--feats", tiny_data / "feats.scp",
         "--model", tiny_model, "--ark", tmp_path / "one.ark")  # fmt: skip
    for name, own in iterate_arrays(tmp_path / "one.ark"):
        np.testing.assert_allclose(rows[name], own, atol=0.05)

    assert "complete already" in run(*command).stdout
    changed = run(*command[:3], *command[5:])
    assert 'utts_per_spk_max was "2", is "-1"' in changed.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--average", "mean"],
            "--average takes none or running or utterance or speaker, not 'mean'",
        ),
        (["--utts-per-spk-max", "2"], "--utts-per-spk-max is for --average running or speaker"),
        (["--normalize-rows", "true"], "row_statistics.yaml: no such file; make it with python3"),
        (["--average", "speaker"], "utt2spk: no such file"),
    ],
)
def test_step_refuses(options, expected, tmp_path):
    for name in ("final.ie.id", "config.yaml", "feats.scp"):
        (tmp_path / name).write_text("x y\n")
    step = run(STEPS / "extract.sh", *options, tmp_path, tmp_path, tmp_path / "iv")
    assert step.returncode == 1
    assert expected in step.stderr
    assert not (tmp_path / "iv").exists()
