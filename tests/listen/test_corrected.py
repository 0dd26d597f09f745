"""Corrections in the programs and steps that make and read clusters."""

import json

import numpy as np
import pytest
from helpers.data import write_ark
from helpers.faults import refused
from helpers.listen import correct, make_corpus
from helpers.programs import call
from helpers.shell import STEPS, run

from unspeech.clustering.constrained import bring_together, cut_apart
from unspeech.clustering.directory import read_clusters
from unspeech.clustering.hierarchy import Settings, single_linkage, tree_clusters
from unspeech.clustering.spanning_tree import exact_spanning_tree
from unspeech.corrections.corrected import read_constraints, read_corrected
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table, write_table


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path)


def speaker_members(clusters, cluster: str) -> list[str]:
    return [u for u, c in read_table(clusters / "utt2spk").items() if c == cluster]


def cut(corpus) -> dict:
    """The action that parts the two speakers of the first cluster."""
    gold, members = read_table(corpus / "gold"), speaker_members(corpus / "clusters", "c00000")
    part = [u for u in members if gold[u] == gold[members[0]]]
    assert len(part) < len(members), "the corpus is to be one whose clustering is wrong"
    other = next(u for u in members if u not in part)
    return {"action": "different", "a": members[0], "b": other, "part": part, "to": None}


def test_programs_take_corrections(corpus, tmp_path):
    clusters = corpus / "clusters"
    action = cut(corpus)
    first, *_ = speaker_members(clusters, "c00001")
    names = [(action["a"], "Ada"), (action["b"], "Ada"), (first, 'Eve "<b>"')]
    correct(
        clusters,
        action,
        *({"action": "name", "speaker": u, "name": name} for u, name in names),
        {"action": "no-speaker", "utterances": [first]},
    )
    new = tmp_path / "new"
    call("clustered_data", "--data", corpus / "data", "--clusters", clusters, "--out", new)
    utt2spk = read_table(new / "utt2spk")
    assert {utt2spk[f"{s}-{u}"] for u, s in [(action["a"], "Ada_2")]} == {"Ada_2"}
    assert f"Ada-{action['b']}" in utt2spk
    assert not any(first in name for name in utt2spk)
    assert read_table(new / "spk2name") == {"Ada": "Ada", "Ada_2": "Ada", "Eve_b": 'Eve "<b>"'}
    scores = {}
    for corrections in (True, False):
        out = tmp_path / f"eval{corrections}"
        vectors = ["--embeddings", corpus / "emb", "--utt2spk", corpus / "gold"]
        call("evaluate", *vectors, "--clusters", clusters, "--out", out)
        scores[corrections] = json.loads((out / "scores.json").read_text())
        (clusters / "corrections.jsonl").unlink(missing_ok=True)
    assert scores[True]["ari"] > scores[False]["ari"]


@pytest.mark.parametrize("algorithm", ["exact", "approximate"])
@pytest.mark.parametrize("method", ["HDBSCAN", "kmeans"])
def test_clustering_again_keeps_corrections(corpus, algorithm, method):
    clusters = corpus / "clusters"
    action = cut(corpus)
    join = [speaker_members(clusters, name)[0] for name in ("c00001", "c00002")]
    nobody = speaker_members(clusters, "c00001")[-1]
    correct(
        clusters,
        action,
        {"action": "merge", "speakers": join},
        {"action": "no-speaker", "utterances": [nobody]},
        {"action": "name", "speaker": join[1], "name": "Ada"},
    )
    options = ["--embeddings", corpus / "emb", "--out", clusters, "--utt2spk", corpus / "gold"]
    options += ["--algorithm", algorithm, "--cluster-algorithm", method, "--n-clusters", 4]
    call("cluster", *options)
    utt2spk = read_table(clusters / "utt2spk")
    assert utt2spk[action["a"]] != utt2spk[action["b"]]
    assert utt2spk[join[0]] == utt2spk[join[1]] == "Ada"
    assert list(utt2spk.values()).count(utt2spk[nobody]) == 1
    assert len(utt2spk) == len(read_table(corpus / "gold"))
    corrected = read_corrected(clusters, {})
    assert corrected.nobody == [nobody]
    assert {u: s for u, s in utt2spk.items() if u != nobody} == corrected.utt2spk
    ari = json.loads((clusters / "scores.json").read_text())["ari"]
    (clusters / "corrections.jsonl").unlink()
    call("cluster", *options)
    assert not (clusters / "uncorrected").exists()
    assert utt2spk != read_table(clusters / "utt2spk")
    assert ari != json.loads((clusters / "scores.json").read_text())["ari"]


def test_constraints_are_those_that_hold_in_the_end(corpus):
    clusters, (a, b, c, *_) = corpus / "clusters", sorted(read_table(corpus / "gold"))
    correct(
        clusters,
        {"action": "same", "a": a, "b": b, "part": None},
        {"action": "different", "a": a, "b": b, "part": [a], "to": None},
        {"action": "different", "a": c, "b": b, "part": [c], "to": None},
        {"action": "undo"},
    )
    assert read_constraints(clusters, [a, b, c]) == ([], [(0, 1)])


def test_only_what_overrules_a_pair_does(corpus):
    clusters, (a, b, c, d, *_) = corpus / "clusters", sorted(read_table(corpus / "gold"))
    apart = {"action": "different", "a": a, "b": b, "part": None, "to": None}
    correct(clusters, apart, {"action": "same", "a": a, "b": c, "part": None})
    assert read_constraints(clusters, [a, b, c, d]) == ([(0, 2)], [(0, 1)])
    (clusters / "corrections.jsonl").unlink()
    members = {"members": [a, b, c, d]}
    correct(clusters, apart, {"action": "merge", "speakers": [c, d]} | members)
    assert read_constraints(clusters, [a, b, c, d]) == ([(2, 3)], [])
    (clusters / "corrections.jsonl").unlink()
    correct(clusters, {"action": "split", "parts": [[d]]})
    assert read_constraints(clusters, [a, b, c, d]) == ([], []), "not parted from the first of all"


def two_clusters(folder, outliers: dict[str, str]):
    names = [f"{speaker}{i}" for speaker in "uv" for i in range(6)]
    write_table(folder / "utt2spk", {u: "c00000" if u[0] == "u" else "c00001" for u in names})
    write_table(folder / "outliers", outliers)
    return folder


@pytest.mark.parametrize(
    "action",
    [
        {"action": "merge", "speakers": ["u0", "v0"]},
        {"action": "same", "a": "u0", "b": "v0", "part": None},
    ],
)
def test_all_who_were_joined_stay_together_in_another_clustering(tmp_path, action):
    """There the two that were named are together already, and the others are not."""
    folder = two_clusters(tmp_path / "clusters", {})
    everybody = list(read_table(folder / "utt2spk"))
    correct(folder, action | {"members": everybody})
    assert len(set(read_corrected(folder, {}).utt2spk.values())) == 1
    write_table(folder / "utt2spk", read_table(folder / "utt2spk") | {"u0": "c00001"})
    assert len(set(read_corrected(folder, {}).utt2spk.values())) == 1


def test_all_who_were_parted_stay_so_in_another_clustering(tmp_path):
    folder = two_clusters(tmp_path / "clusters", {})
    part = ["v3", "v4", "v5"]
    correct(folder, {"action": "different", "a": "v3", "b": "v0", "part": part, "to": None})
    before = read_corrected(folder, {}).utt2spk
    write_table(folder / "utt2spk", read_table(folder / "utt2spk") | {"v3": "c00002"})
    after = read_corrected(folder, {}).utt2spk
    for utt2spk in (before, after):
        assert len({utt2spk[u] for u in part}) == 1
        assert utt2spk["v3"] != utt2spk["v0"]


def test_new_utterances_join_the_speakers_of_today(corpus, tmp_path):
    clusters = corpus / "clusters"
    members = {c: speaker_members(clusters, c) for c in ("c00000", "c00001", "c00002")}
    first, second, third = members.values()
    correct(
        clusters,
        {"action": "merge", "speakers": [first[0], second[0]], "members": first + second},
        {"action": "name", "speaker": first[0], "name": "Ada"},
        {"action": "no-speaker", "utterances": third},
    )
    new = tmp_path / "new"
    call("assign", "--embeddings", corpus / "emb", "--clusters", clusters, "--out", new)
    utt2spk, outliers = read_table(new / "utt2spk"), read_table(new / "outliers")
    inliers = set(first + second) - outliers.keys()
    assert len(inliers) > len(first)
    assert {utt2spk[u] for u in inliers} == {"Ada"}
    assert set(third) <= outliers.keys()


def test_an_outlier_that_was_moved_takes_none_along(tmp_path):
    folder = two_clusters(tmp_path / "clusters", {"u0": "c00000", "u1": "c00000"})
    correct(folder, {"action": "move", "utterances": ["u0"], "to": "v0"})
    corrected = read_corrected(folder, read_table(folder / "outliers"))
    assert corrected.outliers == {"u1": "c00000"}
    assert corrected.utt2spk["u0"] == "c00001"


def test_a_constrained_tree_joins_and_parts():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 20)
    # Groups 0 and 1 are one dense place, groups 2 and 3 stand apart.
    places = np.array([[0, 0], [0.4, 0], [8, 0], [16, 0]])[groups] + rng.normal(size=(80, 2)) / 9
    settings = Settings(5, 2, "eom", 0.0)
    tree = exact_spanning_tree(places, settings.min_samples, "euclidean")

    def clusters(same, different) -> np.ndarray:
        joined = bring_together(tree, same)
        found = tree_clusters(single_linkage(joined), settings)
        return cut_apart(found, joined, same, different).labels

    free = clusters([], [])
    assert free[0] == free[20] != free[40] != free[60] != free[0]
    # All pairs of the two groups' first halves are said to be of two speakers.
    apart = [(i, j) for i in range(10) for j in range(20, 30)]
    labels = clusters([], apart)
    assert all(labels[i] != labels[j] for i, j in apart)
    assert labels[40:].tolist() == (free[40:] + max(labels[:40])).tolist()  # others stay
    labels = clusters([(40, 60), (41, 61)], [])
    assert len(set(labels[40:].tolist()) - {-1}) == 1
    # Many pairs within a speaker change nothing.
    star = [(40, i) for i in range(41, 55)]
    np.testing.assert_array_equal(clusters(star, []), free)
    labels = clusters([(40, 60)], [(40, 60)])  # they contradict: the first counts
    assert len(set(labels[40:].tolist()) - {-1}) == 1


@pytest.mark.parametrize("outliers", ["nearest", "leave-out"])
def test_outliers_that_were_dealt_with_stay(corpus, outliers):
    """By a name, by an answer, or by being moved, also when the clustering is made again."""
    clusters = corpus / "clusters"
    vectors = dict(iterate_arrays(corpus / "emb/embedding.scp"))
    centre = np.mean(list(vectors.values()), axis=0)
    rng = np.random.default_rng(1)
    far = {f"x-{i}": -9 * centre + 9 * rng.normal(size=24) for i in range(4)}
    write_ark(corpus / "emb/embedding.ark", vectors | far)
    again = ["cluster", "--embeddings", corpus / "emb", "--out", clusters]
    call(*again)
    alone = read_table(clusters / "outliers").keys()
    assert alone >= far.keys()
    first = speaker_members(clusters, "c00000")[0]
    correct(
        clusters,
        {"action": "name", "speaker": "x-0", "name": "Ada"},
        {"action": "different", "a": "x-1", "b": first, "part": None, "to": None},
        {"action": "move", "utterances": ["x-2"], "to": first},
    )
    call(*again, "--outliers", outliers)
    now = read_clusters(clusters)[0]
    assert now["x-0"] == "Ada"
    assert [list(now.values()).count(now[u]) for u in ("x-0", "x-1")] == [1, 1]
    assert now["x-2"] == now[first]
    assert ("x-3" in now) == (outliers == "nearest")
    assert list(now.values()).count(now.get("x-3")) != 1


def test_damaged_corrections_are_refused(corpus, tmp_path):
    clusters = corpus / "clusters"
    correct(clusters, {"action": "sing"})
    says = [clusters / "corrections.jsonl", "no action 'sing'"]
    data = ["--data", corpus / "data", "--clusters", clusters]
    refused("clustered_data", *data, "--out", tmp_path / "new", says=says, out=tmp_path / "new")
    before = (clusters / "utt2spk").read_bytes()
    refused("cluster", "--embeddings", corpus / "emb", "--out", clusters, says=says)
    assert (clusters / "utt2spk").read_bytes() == before


def test_corrections_that_leave_nobody(corpus, tmp_path):
    clusters = corpus / "clusters"
    everybody = list(read_table(corpus / "gold"))
    correct(clusters, {"action": "no-speaker", "utterances": everybody})
    data = ["--data", corpus / "data", "--clusters", clusters, "--out", tmp_path / "new"]
    refused("clustered_data", *data, says=[clusters, "undo some of it"], out=tmp_path / "new")


def test_the_step_clusters_again_when_there_are_corrections(tmp_path):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, 16))
    vectors = {f"u{i:03d}": centres[i % 4] + 0.2 * rng.normal(size=16) for i in range(60)}
    write_ark(tmp_path / "emb/embedding.ark", vectors)
    write_table(tmp_path / "gold", {f"u{i:03d}": f"s{i % 4}" for i in range(60)})

    def cluster() -> str:
        options = ["--utt2spk", "gold", "--algorithm", "approximate"]
        done = run(STEPS / "cluster.sh", *options, "emb", "clusters", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    cluster()
    assert "nothing to do" in cluster()
    correct(tmp_path / "clusters", {"action": "merge", "speakers": ["u000", "u001"]})
    assert "nothing to do" not in cluster()
    log = (tmp_path / "clusters/log/cluster.log").read_text()
    assert "links: there already" in log
    assert "Keeping 1 pairs together" in log
    utt2spk = read_table(tmp_path / "clusters/utt2spk")
    assert utt2spk["u000"] == utt2spk["u001"] != utt2spk["u002"]
    assert "nothing to do" in cluster()
