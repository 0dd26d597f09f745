"""Clustered data directories, checked with Kaldi's own scripts where there is a Kaldi."""

from pathlib import Path

import numpy as np
import pytest
from helpers.shell import STEPS, run

from unspeech.kaldi.archives import ArkWriter, iterate_arrays
from unspeech.kaldi.tables import invert, read_table, write_table

STEP = STEPS / "make_clustered_data_dir.sh"
UTTERANCES = ["a-1", "a-10", "a-2", "b-1", "b-2", "b-3"]
CLUSTERS = {"a-1": "c1", "a-10": "c1", "a-2": "c10", "b-1": "c10", "b-2": "c2", "b-3": "c10"}


def write_data(data: Path, utterances: list[str], segments: bool) -> Path:
    """A data directory with every file that Kaldi knows."""
    utt2spk = {u: u.rsplit("-", 1)[0] for u in utterances}
    speakers = sorted(set(utt2spk.values()))
    write_table(data / "utt2spk", utt2spk)
    write_table(data / "spk2utt", invert(utt2spk))
    if segments:
        write_table(data / "segments", {u: f"rec-{utt2spk[u]} 0.5 2.25" for u in utterances})
    recordings = [f"rec-{speaker}" for speaker in speakers] if segments else utterances
    write_table(data / "wav.scp", {r: f"sox {r}.wav -t wav - |" for r in recordings})
    write_table(data / "reco2dur", dict.fromkeys(recordings, "3.5"))
    write_table(data / "reco2file_and_channel", {r: f"{r} A" for r in recordings})
    write_table(data / "text", {u: f"words of {u}" for u in utterances})
    write_table(data / "feats.scp", {u: f"feats.ark:{n}" for n, u in enumerate(utterances)})
    write_table(data / "vad.scp", {u: f"vad.ark:{n}" for n, u in enumerate(utterances)})
    write_table(data / "utt2dur", dict.fromkeys(utterances, "1.75"))
    write_table(data / "utt2num_frames", dict.fromkeys(utterances, 173))
    write_table(data / "utt2lang", dict.fromkeys(utterances, "en"))
    write_table(data / "utt2uniq", {u: u.removeprefix("sp0.9-") for u in utterances})
    write_table(data / "spk2gender", dict.fromkeys(speakers, "m"))
    write_table(data / "cmvn.scp", {s: f"cmvn.ark:{n}" for n, s in enumerate(speakers)})
    return data


def write_clusters(directory: Path, clusters: dict[str, str], **outliers: str) -> Path:
    write_table(directory / "utt2spk", clusters)
    write_table(directory / "outliers", {u.replace("_", "-"): c for u, c in outliers.items()})
    return directory


def make(tmp_path: Path, *options) -> Path:
    result = run(STEP, *options, "data", "clusters", "new", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    return tmp_path / "new"


def check_with_kaldi(kaldi: Path, data: Path) -> None:
    """Kaldi's scripts find nothing wrong and nothing to mend."""
    recipe = kaldi / "egs/wsj/s5"
    valid = run(recipe / "utils/validate_data_dir.sh", data, cwd=recipe)
    assert valid.returncode == 0, valid.stdout + valid.stderr
    assert "Successfully validated" in valid.stdout
    before = {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()}
    fixed = run(recipe / "utils/fix_data_dir.sh", data, cwd=recipe)
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    assert {path.name: path.read_bytes() for path in data.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("segments", [True, False])
@pytest.mark.parametrize("outliers", ["own", "leave-out"])
def test_kaldi_accepts_them(tmp_path, kaldi, segments, outliers):
    write_data(tmp_path / "data", UTTERANCES, segments)
    write_clusters(tmp_path / "clusters", CLUSTERS)
    check_with_kaldi(kaldi, make(tmp_path, "--outliers", outliers))


@pytest.mark.parametrize("segments", [True, False])
def test_utterances_are_renamed_everywhere(tmp_path, segments):
    data = write_data(tmp_path / "data", UTTERANCES, segments)
    write_clusters(tmp_path / "clusters", CLUSTERS)
    new = make(tmp_path)
    new_of = {u: f"{cluster}-{u}" for u, cluster in CLUSTERS.items()}
    assert read_table(new / "utt2spk") == {new_of[u]: CLUSTERS[u] for u in UTTERANCES}
    assert read_table(new / "utt_map") == {new_of[u]: u for u in UTTERANCES}
    by_utterance = ["text", "feats.scp", "vad.scp", "utt2dur", "utt2num_frames", "utt2lang"]
    by_recording = ["wav.scp", "reco2dur", "reco2file_and_channel"]
    for name in by_utterance + (["segments"] if segments else by_recording):
        old = read_table(data / name)
        assert read_table(new / name) == {new_of[u]: old[u] for u in UTTERANCES}, name
    for name in by_recording if segments else []:
        assert (new / name).read_text() == (data / name).read_text(), name
    assert read_table(new / "utt2uniq") == {name: name for name in new_of.values()}


def test_files_of_the_old_speakers_are_left_out_with_a_notice(tmp_path):
    write_data(tmp_path / "data", UTTERANCES, segments=False)
    write_clusters(tmp_path / "clusters", CLUSTERS)
    result = run(STEP, "data", "clusters", "new", cwd=tmp_path)
    for name in ("spk2gender", "cmvn.scp"):
        assert not (tmp_path / "new" / name).exists()
    assert "old speakers: spk2gender" in result.stdout
    assert "cmvn.scp; run steps/compute_cmvn_stats.sh" in result.stdout


def test_statistics_hold_no_utterances_that_are_left_out(tmp_path, capsys):
    data = write_data(tmp_path / "data", UTTERANCES, segments=False)
    write_table(data / "utt2spk", {u: u[0] for u in UTTERANCES})
    with ArkWriter(tmp_path / "cmvn.ark", data / "cmvn.scp") as writer:
        for speaker in sorted({u[0] for u in UTTERANCES}):
            writer.write(speaker, np.ones((2, 14)))
    last = {u[0]: u for u in UTTERANCES}.values()
    write_clusters(tmp_path / "clusters", {u: u[0] for u in UTTERANCES if u not in last})
    result = run(STEP, "data", "clusters", "new", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "cmvn.scp; run steps/compute_cmvn_stats.sh" in result.stdout
    assert not (tmp_path / "new/cmvn.scp").exists()


def test_statistics_of_utterances_are_added_up(tmp_path, kaldi, monkeypatch):
    data = write_data(tmp_path / "data", UTTERANCES, segments=False)
    write_table(data / "utt2spk", {u: u for u in UTTERANCES})  # speakers are unknown
    (data / "spk2gender").unlink()
    statistics = {u: np.full((2, 14), n) for n, u in enumerate(UTTERANCES)}
    with ArkWriter(tmp_path / "cmvn.ark", data / "cmvn.scp") as writer:
        for utterance in UTTERANCES:
            writer.write(utterance, statistics[utterance])
    write_clusters(tmp_path / "clusters", {u: c for u, c in CLUSTERS.items() if u != "b-3"})
    new = make(tmp_path)
    monkeypatch.chdir(tmp_path)  # where paths in scp files lead from
    found = dict(iterate_arrays("new/cmvn.scp"))
    assert {name: int(matrix[0, 0]) for name, matrix in found.items()} == {
        "c1": 1,
        "c10": 5,
        "c2": 4,
    }
    check_with_kaldi(kaldi, new)


def test_outliers_can_join_the_nearest_cluster(tmp_path, kaldi):
    write_data(tmp_path / "data", UTTERANCES, segments=False)
    write_clusters(tmp_path / "clusters", CLUSTERS, b_2="c1")
    new = make(tmp_path, "--outliers", "nearest")
    assert read_table(new / "utt2spk")["c1-b-2"] == "c1"
    assert set(read_table(new / "spk2utt")) == {"c1", "c10"}
    check_with_kaldi(kaldi, new)


def test_outliers_can_be_left_out_and_a_cluster_of_one_is_none(tmp_path):
    write_data(tmp_path / "data", UTTERANCES, segments=True)
    write_clusters(tmp_path / "clusters", CLUSTERS, b_1="c10")
    new = make(tmp_path, "--outliers", "leave-out")
    assert sorted(read_table(new / "utt_map").values()) == sorted(set(UTTERANCES) - {"b-1"})


def test_outliers_of_a_clustering_join_as_its_metric_says(tmp_path):
    """Vectors whose second half shows the speakers; the nearest one depends on the metric."""
    rng = np.random.default_rng(0)
    halves = {"a": [9, 0, 0, 1, 0, 0], "b": [0, 9, 0, 0, 3, 0]}
    vectors = {f"{s}-{n}": halves[s] + 0.01 * rng.normal(size=6) for s in "ab" for n in range(6)}
    vectors["x-0"] = np.array([0, 90, 0, 10, 9.5, 0])  # as a whole near b
    with ArkWriter(tmp_path / "emb/embedding.ark") as writer:
        for utterance, vector in vectors.items():
            writer.write(utterance, vector)
    (write_data(tmp_path / "data", sorted(vectors), segments=False) / "cmvn.scp").unlink()
    for metric, nearest in (("cosine", "a"), ("chebyshev", "a"), ("cityblock", "b")):
        options = ["--half-index", 3, "--metric", metric, "--overwrite", "true"]
        found = {}
        for policy in ("own", "nearest"):
            clusters = tmp_path / f"clusters_{policy}"
            options += ["--cluster-algorithm", "DBSCAN", "--dbscan-eps", 0.3]
            step = [STEPS / "cluster.sh", *options, "--outliers", policy, "emb", clusters]
            done = run(*step, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert "outliers                         1" in done.stdout
            found[policy] = read_table(clusters / "utt2spk")
        done = run(
            *(STEP, "--outliers", "nearest", "--overwrite", "true", "data", "clusters_own", "new"),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        old = read_table(tmp_path / "new/utt_map")
        joined = {old[u]: c for u, c in read_table(tmp_path / "new/utt2spk").items()}
        assert joined == found["nearest"]
        assert joined["x-0"] == found["own"][f"{nearest}-0"]


def test_k_means_has_no_outliers(tmp_path):
    vectors = {"a-1": [1, 0, 0], "a-2": [1, 0.1, 0], "b-1": [0, 1, 0]}
    with ArkWriter(tmp_path / "emb/embedding.ark") as writer:
        for utterance, vector in vectors.items():
            writer.write(utterance, np.array(vector, float))
    (write_data(tmp_path / "data", list(vectors), segments=False) / "cmvn.scp").unlink()
    options = ["--cluster-algorithm", "kmeans", "--n-clusters", 2]
    done = run(STEPS / "cluster.sh", *options, "emb", "clusters", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(read_table(make(tmp_path, "--outliers", "leave-out") / "utt_map")) == 3


def test_copies_of_any_kind_go_with_their_original(tmp_path):
    """By utt2uniq, whatever their names; a recording may be called sp001 without being a copy."""
    copies = ["aug1-a-1", "sp0.9-a-1", "a-1-noise", "sp001-a-1", "another"]
    (write_data(tmp_path / "data", ["a-1", *copies], segments=False) / "cmvn.scp").unlink()
    originals = {u: u if u == "sp001-a-1" else "a-1" for u in ["a-1", *copies]}
    write_table(tmp_path / "data/utt2uniq", originals)
    write_clusters(tmp_path / "clusters", {"a-1": "c1", "sp001-a-1": "c2", "aug1-a-1": "c2"})
    result = run(STEP, "data", "clusters", "new", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert read_table(tmp_path / "new/utt2spk") == {
        "aug1-c1-a-1": "aug1-c1",
        "c1-a-1": "c1",
        "c1-a-1-noise": "c1",
        "c1-another": "c1",
        "c2-sp001-a-1": "c2",
        "sp0.9-c1-a-1": "sp0.9-c1",
    }


def test_originals_that_utt2uniq_lacks_are_kept(tmp_path, kaldi):
    """As in a data directory joined with reverberated copies, which alone have a line there."""
    names = ["a-1", "a-2", "rvb1-a-1"]
    (write_data(tmp_path / "data", names, segments=False) / "cmvn.scp").unlink()
    write_table(tmp_path / "data/utt2uniq", {"rvb1-a-1": "a-1"})
    write_table(tmp_path / "data/vad.scp", {"a-2": "vad.ark:1"})
    write_clusters(tmp_path / "clusters", {"a-1": "c1", "a-2": "c2"})
    new = make(tmp_path)
    utt2spk = {"c1-a-1": "c1", "c2-a-2": "c2", "rvb1-c1-a-1": "rvb1-c1"}
    assert read_table(new / "utt2spk") == utt2spk
    assert read_table(new / "utt2uniq") == {"rvb1-c1-a-1": "c1-a-1"}
    assert read_table(new / "vad.scp") == {"c2-a-2": "vad.ark:1"}


def test_segments_without_audio(tmp_path):
    data = write_data(tmp_path / "data", ["a-1", "b-1"], segments=True)
    for name in ("wav.scp", "reco2dur", "reco2file_and_channel", "cmvn.scp"):
        (data / name).unlink()
    write_clusters(tmp_path / "clusters", {"a-1": "c1", "b-1": "c2"})
    new = make(tmp_path)
    assert list(read_table(new / "segments")) == ["c1-a-1", "c2-b-1"]
    (data / "frame_shift").write_text("0.01\n")  # as Kaldi's scripts do
    assert "nothing to do" in run(STEP, "data", "clusters", "new", cwd=tmp_path).stdout


def test_copies_need_not_be_clustered(tmp_path):
    write_table(tmp_path / "data/utt2spk", dict.fromkeys(["a-1", "sp0.9-a-1", "aug1-b-1"], "s"))
    write_table(tmp_path / "data/utt2uniq", {"aug1-b-1": "b-1"})
    with ArkWriter(tmp_path / "emb/embedding.ark") as writer:
        for utterance in ("a-1", "aug1-b-1", "sp0.9-a-1"):
            writer.write(utterance, np.ones(3))
    options = ["--cluster-algorithm", "kmeans", "--n-clusters", 1, "--data", "data"]
    done = run(STEPS / "cluster.sh", *options, "emb", "clusters", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 of 3 utterances, without copies" in done.stdout
    assert list(read_table(tmp_path / "clusters/utt2spk")) == ["a-1", "aug1-b-1"]


@pytest.mark.parametrize("segments", [True, False])
def test_speed_perturbed_copies_go_with_their_original(tmp_path, kaldi, segments):
    copies = [f"sp0.9-{u}" for u in UTTERANCES]
    write_data(tmp_path / "data", UTTERANCES + copies, segments)
    write_clusters(tmp_path / "clusters", CLUSTERS)
    new = make(tmp_path)
    assert read_table(new / "utt2spk")["sp0.9-c10-b-1"] == "sp0.9-c10"
    assert read_table(new / "utt_map")["sp0.9-c10-b-1"] == "sp0.9-b-1"
    assert read_table(new / "utt2uniq")["sp0.9-c10-b-1"] == "c10-b-1"
    assert len(read_table(new / "utt2spk")) == 12
    check_with_kaldi(kaldi, new)


def test_utterances_without_cluster_or_features_are_left_out(tmp_path, kaldi):
    data = write_data(tmp_path / "data", UTTERANCES, segments=True)
    feats = read_table(data / "feats.scp")
    del feats["a-1"]
    write_table(data / "feats.scp", feats)
    write_clusters(tmp_path / "clusters", {u: c for u, c in CLUSTERS.items() if u != "b-3"})
    result = run(STEP, "data", "clusters", "new", cwd=tmp_path)
    assert "without a cluster: 1 utterances, such as 'b-3'" in result.stdout
    assert "not in every file of data: 1 utterances, such as 'a-1'" in result.stdout
    check_with_kaldi(kaldi, tmp_path / "new")


def test_transcripts_may_be_empty(tmp_path):
    data = write_data(tmp_path / "data", UTTERANCES, segments=False)
    (data / "text").write_text("".join(f"{u}\n" for u in UTTERANCES))
    write_clusters(tmp_path / "clusters", CLUSTERS)
    assert "c1-a-1" in (make(tmp_path) / "text").read_text()


@pytest.mark.parametrize(
    ("clusters", "options", "message"),
    [
        ({"x": "c1"}, [], "data: none of its utterances is in the clusters"),
        ({"b-1": "c", "a-2": "c-a"}, [], "cannot sort utterances of clusters 'c-a' and 'c'"),
        ({"b-2": "c2"}, ["--outliers", "leave-out"], "every utterance is an outlier"),
        (CLUSTERS, ["--outliers", "other"], "takes own or nearest or leave-out, not 'other'"),
    ],
)
def test_bad_input(tmp_path, clusters, options, message):
    write_data(tmp_path / "data", UTTERANCES, segments=False)
    write_clusters(tmp_path / "clusters", clusters, b_2="-")
    result = run(STEP, *options, "data", "clusters", "new", cwd=tmp_path)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "new/spk2utt").exists()


def test_missing_files(tmp_path):
    write_data(tmp_path / "data", UTTERANCES, segments=False)
    result = run(STEP, "data", "clusters", "new", cwd=tmp_path)
    assert result.returncode == 1
    assert "clusters/utt2spk: no such file" in result.stderr
