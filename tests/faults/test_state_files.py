"""What earlier runs left, damaged since; and outputs that cannot be where they are wanted."""

import importlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager

import numpy as np
import pytest
from helpers.data import write_ark, write_features
from helpers.faults import accepted, make_special, refused
from helpers.programs import call

from unspeech.audio.decoding import wav_bytes
from unspeech.clustering import algorithms
from unspeech.kaldi.tables import read_table, write_table

NOBODY = 65534


def vectors(count: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 16))
    return {f"s{i % 4}-{i:03d}": centres[i % 4] + 0.2 * rng.normal(size=16) for i in range(count)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Vectors, and clusters of them on a graph."""
    directory = tmp_path_factory.mktemp("made")
    write_ark(directory / "embeddings/embedding.ark", vectors())
    command = ["--embeddings", directory / "embeddings", "--algorithm", "approximate"]
    call("cluster", *command, "--out", directory / "clusters")
    return directory


@pytest.fixture
def clusters(made, tmp_path):
    return shutil.copytree(made / "clusters", tmp_path / "clusters")


def assigning(made, clusters) -> list:
    out = clusters.parent / "out"
    return ["--embeddings", made / "embeddings", "--clusters", clusters, "--out", out]


def half(path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(max(100, path.stat().st_size)))


def empty(path) -> None:
    path.write_bytes(b"")


SPOIL = {"half": half, "garbage": garbage, "empty": empty}
NEEDED = (
    "clusters.json", "members.npz", "graph/vectors.npy", "graph/centroids.npy", "graph/cells.npy",
    "graph/by_cell.npy", "graph/members.npy",
)  # fmt: skip


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("fault", SPOIL)
def test_joining_damaged_clusters(fault, name, made, clusters):
    SPOIL[fault](clusters / name)
    refused("assign", *assigning(made, clusters), says=clusters / name)
    assert not (clusters.parent / "out/utt2spk").exists()


@pytest.mark.parametrize("name", NEEDED)
def test_joining_incomplete_clusters(name, made, clusters):
    (clusters / name).unlink()
    refused("assign", *assigning(made, clusters), says=clusters / name)


SUMMARIES = {
    "a list": [],
    "no settings": {"clusters": 4, "outliers": 0, "utterances": 60},
    "settings of another program": {"clusters": 4, "outliers": 0, "settings": {"a": 1}},
    "words for counts": {"clusters": "four", "outliers": 0, "settings": {}},
    "negative counts": {"clusters": -4, "outliers": 0, "settings": {}},
}


@pytest.mark.parametrize("what", SUMMARIES)
def test_joining_clusters_of_another_form(what, made, clusters):
    (clusters / "clusters.json").write_text(json.dumps(SUMMARIES[what]))
    refused("assign", *assigning(made, clusters), says=clusters / "clusters.json")


def test_members_of_other_clusters(made, clusters):
    with np.load(clusters / "members.npz") as arrays:
        members = dict(arrays) | {"labels": np.zeros(3, int)}
    np.savez(clusters / "members.npz", **members)
    refused("assign", *assigning(made, clusters), says=clusters / "members.npz")


GRAPH = {  # its files, and whether clustering with more neighbours makes them again
    "vectors.npy": False, "utterances": False, "centroids.npy": False, "cells.npy": False,
    "by_cell.npy": False, "members.npy": False, "ids.npy": True, "distances.npy": True,
    "links.npz": True, "vectors.json": True, "index.json": True, "neighbours.json": True,
    "links.json": True,
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPH)
@pytest.mark.parametrize("fault", ["half", "empty"])
def test_clustering_again_on_a_damaged_graph(fault, name, made, clusters):
    options = ["--embeddings", made / "embeddings", "--algorithm", "approximate"]
    options += ["--min-samples", 17, "--out"]
    accepted("cluster", *options, clusters.parent / "other")
    before = (clusters / "utt2spk").read_bytes()
    SPOIL[fault](clusters / "graph" / name)
    if not GRAPH[name]:
        says = (clusters / "graph", "remove", "cluster again")
        refused("cluster", *options, clusters, says=says)
        assert (clusters / "utt2spk").read_bytes() == before
        shutil.rmtree(clusters / "graph")
    accepted("cluster", *options, clusters)
    assert read_table(clusters / "utt2spk") == read_table(clusters.parent / "other/utt2spk")


@pytest.mark.parametrize("name", ["vectors.npy", "ids.npy"])
def test_a_graph_with_numbers_missing_at_its_end(name, made, clusters, monkeypatch):
    monkeypatch.setattr(algorithms, "EXACT_UP_TO", 0)
    path = clusters / "graph" / name
    path.write_bytes(path.read_bytes()[:-4])
    command = ["--embeddings", made / "embeddings", "--out", clusters]
    refused("cluster", *command, says=(path, "cluster again"))


def run_directory(tmp_path):
    """What a report needs least."""
    run = tmp_path / "run"
    (run / "eval/x").mkdir(parents=True)
    (run / "model").mkdir()
    (run / "log").mkdir()
    scores = {"eer": 3.0, "min_dcf": 0.5, "utterances": 9, "speakers": 3}
    (run / "eval/x/scores.json").write_text(json.dumps(scores))
    return run


REPORT = {
    "scores.json is half": ("eval/x/scores.json", b'{"eer": '),
    "scores.json is empty": ("eval/x/scores.json", b""),
    "scores.json is binary": ("eval/x/scores.json", b"\xff\xfe\0"),
    "scores.json is a list": ("eval/x/scores.json", b"[]"),
    "train_log.jsonl is binary": ("model/train_log.jsonl", b"\xff\xfe\n"),
    "train_log.jsonl has half a line within": (
        "model/train_log.jsonl",
        b'{"step": \n{"step": 1}\n',
    ),
    "train_log.jsonl has another value": ("model/train_log.jsonl", b"[1, 2]\n"),
    "stages.jsonl is binary": ("log/stages.jsonl", b"\0\0\n"),
    "config.yaml is Latin-1": ("model/config.yaml", b"# \xe9\n"),
    "config.yaml is no YAML": ("model/config.yaml", b"a: [\n"),
    "trained_on.yaml is empty": ("model/trained_on.yaml", b""),
}


@pytest.mark.parametrize("fault", REPORT)
def test_reporting_on_damaged_files(fault, tmp_path):
    run = run_directory(tmp_path)
    name, content = REPORT[fault]
    (run / name).write_bytes(content)
    out = tmp_path / "out"
    refused("report", "--dir", run, "--out", out / "report.html", says=run / name, out=out)


@pytest.mark.parametrize("content", [b"", b"ten\n", b"0\n", b"-1\n", b"10\n10\n", b"\xff\n"])
def test_damaged_period(content, tmp_path):
    data = write_features(tmp_path / "iv", {"u": np.ones((9, 4))})
    (tmp_path / "iv/ivector_period").write_bytes(content)
    out = tmp_path / "out"
    command = ["-i", data / "feats.scp", "-n", 0, "--out", out / "a.png"]
    refused("show_feats", *command, says=tmp_path / "iv/ivector_period", out=out)


OUTPUTS = {  # a program's options, with {out} for its output
    "cluster": "--embeddings {made}/embeddings --out {out}/clusters",
    "corpus": "--out {out}/data {made}/folder",
    "evaluate": "--embeddings {made}/embeddings --utt2spk {made}/utt2spk --out {out}/eval",
    "join_scps": "--out {out}/new/a.scp {made}/embeddings/embedding.scp",
    "report": "--dir {made}/run --out {out}/a/report.html",
    "show_feats": "--mode stats -i {made}/embeddings --out {out}/a/stats.png",
    "speakers": "--feats {made}/utt2spk --utt2spk {made}/utt2spk --nj 2 --out {out}/split",
}


@pytest.fixture(scope="module")
def inputs(made):
    """Inputs of all these programs."""
    write_table(made / "utt2spk", {name: name[:2] for name in vectors()})
    (made / "folder").mkdir()
    (made / "folder/a.wav").write_bytes(wav_bytes(np.zeros(99, np.int16), 16000))
    run_directory(made)
    return made


@pytest.mark.parametrize("program", OUTPUTS)
def test_an_output_beneath_a_file(program, inputs, tmp_path):
    (tmp_path / "file").write_text("mine\n")
    words = OUTPUTS[program].format(made=inputs, out=tmp_path / "file").split()
    refused(program, *words, says=(tmp_path / "file", "choose another output directory"))
    assert (tmp_path / "file").read_text() == "mine\n"


@pytest.mark.parametrize("program", OUTPUTS)
def test_an_output_whose_name_is_too_long(program, inputs, tmp_path):
    words = OUTPUTS[program].format(made=inputs, out=tmp_path / ("x" * 300)).split()
    refused(program, *words, says="xxx", out=tmp_path)


@pytest.mark.parametrize("program", ["join_scps", "report", "show_feats"])
def test_an_output_that_is_a_directory(program, inputs, tmp_path):
    *words, last = OUTPUTS[program].format(made=inputs, out=tmp_path).split()
    output = words.index("--out") + 1 if "--out" in words else len(words)
    path = tmp_path / "directory"
    path.mkdir()
    words = [*words, last]
    words[output] = path
    refused(program, *words, says=(path, "a directory"))
    assert not list(path.iterdir())


@contextmanager
def as_nobody():
    """Be a user without root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


UNREADABLE = {  # whose permission is taken away, and how it is read
    "table": ("wav.scp", "corpus --out {out}/data {data}"),
    "archive": ("x.ark", "cluster --embeddings {data}/x.scp --out {out}/clusters"),
    "list of an archive": ("x.scp", "join_scps --out {out}/a.scp {data}/x.scp"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_input_without_permission(what, tmp_path):
    """It is about the input, not about the output directory."""
    name, words = UNREADABLE[what]
    data, out = tmp_path / "data", tmp_path / "out"
    write_ark(data / "x.ark", vectors())
    write_table(data / "wav.scp", {"a": "/nowhere.wav"})
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent) == tempfile.gettempdir():
            break
        parent.chmod(0o755)
    (data / name).chmod(0)
    program, *options = words.format(data=data, out=out).split()
    importlib.import_module(f"unspeech.{program}")  # which nobody may not read, perhaps
    with as_nobody():
        message = refused(program, *options, says=f"{data / name}: no permission to read it")
    assert "output" not in message


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
@pytest.mark.parametrize("name", ["clusters.json", "graph/utterances"])
def test_state_that_is_no_file(name, kind, made, clusters):
    make_special(clusters / name, kind)
    if name == "clusters.json":
        refused("assign", *assigning(made, clusters), says=(clusters / name))
    else:
        command = ["--embeddings", made / "embeddings", "--out", clusters]
        refused("cluster", *command, says=(clusters / name))
