"""What the recipes with a compiled Kaldi share: rows beside the features, and the table."""

import json
import os
import shutil

import numpy as np
import pytest
from helpers.data import write_features
from helpers.models import STATISTICS
from helpers.shell import ROOT, run, write_script

from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table, write_table

CHAIN = ROOT / "local/chain"
BOOTCI = """#!/bin/sh
echo "Set1: %WER 9.00 95% Conf Interval [ 8.00, 10.00 ]"
echo "Set2: %WER 5.00 95% Conf Interval [ 4.50, 5.50 ]"
echo "Probability of Set2 improving Set1: 97.00"
"""


def score(decode, errors: dict[str, int], said: dict[str, str]) -> None:
    """Files of a scored decoding, as steps/score_kaldi.sh leaves them."""
    scoring = decode / "scoring_kaldi"
    for place in ("wer_details", "penalty_0.5"):
        (scoring / place).mkdir(parents=True)
    (scoring / "best_wer").write_text(
        f"%WER 1.00 [ 1 / 2, 0 ins, 0 del, 1 sub ] {decode}/wer_9_0.5"
    )
    details = [f"{name} ref a\n{name} #csid 1 {count} 0 0" for name, count in errors.items()]
    (scoring / "wer_details/per_utt").write_text("\n".join(details) + "\n")
    write_table(scoring / "test_filt.txt", said)
    write_table(scoring / "penalty_0.5/9.txt", said)
    (decode / ".done").write_text("60")
    (decode.parent / ".done").write_text("120")


@pytest.fixture
def scored(tmp_path):
    """Two folds of two speakers each; clusters have names of their own for the utterances."""
    systems = "# a comment\ntrue kept -\ntrue kept ivectors+statistics\nclusters removed ivectors\n"
    (tmp_path / "systems.tsv").write_text(systems)
    for fold, words in ((1, 10), (2, 30)):
        data, exp = tmp_path / f"data/fold{fold}", tmp_path / f"exp/fold{fold}"
        names = {"ann-1": "ann", "bob-1": "bob"}
        said = dict.fromkeys(names, " ".join(["one"] * words))
        write_table(data / "true/test/utt2spk", names)
        score(exp / "true/tdnn_kept_seed1/decode", {"ann-1": 2, "bob-1": 4}, said)
        score(
            exp / "true/tdnn_kept_ivectors+statistics_seed1/decode", {"ann-1": 1, "bob-1": 2}, said
        )
        score(exp / "true/tri3/decode", {"ann-1": 4, "bob-1": 4}, said)
        renamed = {f"spk0-{name}": text for name, text in said.items()}
        write_table(data / "clusters/test/utt_map", {name: name[5:] for name in renamed})
        score(
            exp / "clusters/tdnn_removed_ivectors_seed1/decode", dict.fromkeys(renamed, 3), renamed
        )
        score(exp / "clusters/tri3/decode", dict.fromkeys(renamed, 5), renamed)
        scores = {"clusters": 5, "speakers": 4, "outliers": 1, "utterances": 9}
        path = exp / "unspeech/eval/test/scores.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(scores | {"ari": 0.5, "nmi": 0.25}))
    return tmp_path


def results(folder, *options, **environment):
    if not shutil.which("compute-wer-bootci"):
        program = folder / "bin/compute-wer-bootci"
        program.parent.mkdir(exist_ok=True)
        program.write_text(BOOTCI)
        program.chmod(0o755)
        environment["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    environment["PYTHONPATH"] = str(ROOT / "python")
    folds = [f"data/fold{fold}:exp/fold{fold}" for fold in (1, 2)]
    options = [*options, "--systems", "systems.tsv", "--out", "RESULTS.md"]
    return run("python3", CHAIN / "results.py", *options, *folds, cwd=folder, **environment)


def table_of(folder) -> dict[tuple[str, ...], list[str]]:
    """Lines of the table by their first four cells."""
    lines = (folder / "RESULTS.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {tuple(row[:4]): row[4:] for row in rows}


def test_table_counts_all_folds_together(scored):
    made = results(scored)
    assert made.returncode == 0, made.stderr
    by_name = table_of(scored)
    first = by_name["true", "chain TDNN", "kept", "none"]
    assert (first[0], first[2]) == ("15.00", "12")
    assert first[3:] == ["", "", "6"]
    both = by_name["true", "chain TDNN", "kept", "ivectors and statistics"]
    assert (both[0], both[2]) == ("7.50", "6")
    low, high = both[4].split(" to ")
    assert float(low) <= -7.5 <= float(high) < 0
    clusters = by_name["clusters", "chain TDNN", "removed", "ivectors"]
    assert (clusters[0], clusters[2]) == ("15.00", "12")
    gmms = [
        by_name[who, "GMM, triphones, fMLLR", "removed", "none"] for who in ("true", "clusters")
    ]
    assert [gmm[0] for gmm in gmms] == ["20.00", "25.00"]
    assert gmms[0][3:5] == ["", ""]
    assert gmms[1][4] == "+5.00 to +5.00"  # compared with the other GMMs, not with a network
    assert by_name["2", "test", "5 / 4", "1 of 9"] == ["0.50", "0.25"]


def test_errors_of_several_networks_are_counted_together(scored):
    for fold in (1, 2):
        for first in (scored / f"exp/fold{fold}").glob("*/tdnn_*_seed1"):
            second = first.with_name(first.name.replace("seed1", "seed2"))
            shutil.copytree(first, second)
            if first.name == "tdnn_kept_seed1":
                details = second / "decode/scoring_kaldi/wer_details/per_utt"
                details.write_text("ann-1 #csid 1 4 0 0\nbob-1 #csid 1 6 0 0\n")
    made = results(scored, "--networks", 2)
    assert made.returncode == 0, made.stderr
    by_name = table_of(scored)
    first = by_name["true", "chain TDNN", "kept", "none"]
    assert (first[0], first[2], first[5]) == ("20.00", "32", "6")  # of 160 words
    both = by_name["true", "chain TDNN", "kept", "ivectors and statistics"]
    assert (both[0], both[2]) == ("7.50", "12")
    assert by_name["true", "GMM, triphones, fMLLR", "removed", "none"][0] == "20.00"


def test_a_decoding_that_was_not_scored(scored):
    (scored / "exp/fold2/true/tdnn_kept_seed1/decode/scoring_kaldi/best_wer").unlink()
    missing = results(scored)
    assert missing.returncode == 1
    assert "tdnn_kept_seed1/decode/scoring_kaldi/best_wer: no word error" in missing.stderr
    assert not (scored / "RESULTS.md").exists()


@pytest.fixture
def work(many_data, tmp_path):
    """A work directory in which rows.sh can run: features are there, Kaldi is not needed."""
    rng = np.random.default_rng(0)
    test = {f"s1-t{u}": rng.normal(12, 3, (50, 40)).astype(np.float32) for u in range(2)}
    write_features(tmp_path / "data/true/test_fbank", test)
    (tmp_path / "data/true/train_aug_fbank").symlink_to(many_data)
    settings = [f"--{name} {value}" for name, value in STATISTICS.items()][1:]
    lines = [
        "mine\tconf/statistics.yaml\t" + " ".join(settings) + " --embedding-size 7"
        "\t--average running --utts-per-spk-max 2\t--average running --causal true",
    ]
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/rows.tsv").write_text("\n".join(lines) + "\n")
    shutil.copy(ROOT / "local/digits/conf/sizes.sh", tmp_path)
    (tmp_path / "path.sh").symlink_to(CHAIN / "path.sh")
    return tmp_path


def make_rows(work, name: str):
    options = ["--nj", 1, "--cmd", "run_local.py", "--models", "exp/models"]
    return run(CHAIN / "rows.sh", *options, name, "data/true", "exp/true", cwd=work)


def test_rows_of_a_model_trained_here(work, monkeypatch):
    monkeypatch.chdir(work)  # paths in tables are relative, as in any recipe
    made = make_rows(work, "mine")
    assert made.returncode == 0, made.stderr
    for part in ("train_aug", "test"):
        place = work / "exp/true/rows/mine" / part
        lengths = read_table(work / f"data/true/{part}_fbank/feats.scp").keys()
        rows = dict(iterate_arrays(place / "ivector_online.scp"))
        assert rows.keys() == lengths
        assert {matrix.shape[1] for matrix in rows.values()} == {7}
        assert (place / "ivector_period").read_text().strip() == "10"
    again = make_rows(work, "mine")
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""
    lines = (work / "conf/rows.tsv").read_text()
    (work / "conf/rows.tsv").write_text(lines.replace("-size 7", "-size 6"))
    other = make_rows(work, "mine")
    assert other.returncode == 1
    assert "the line of 'mine', or its config, is another one" in other.stderr


def test_rows_that_are_not_in_the_list(work):
    made = make_rows(work, "others")
    assert made.returncode == 1
    assert "conf/rows.tsv: no rows are called 'others'" in made.stderr


def train_network(work, *options) -> dict[str, str]:
    """Call network.sh; what it says to each of Kaldi's scripts, which do nothing here."""
    names = ["align_fmllr_lats", "nnet3/decode", "nnet3/chain/build_tree"]
    scripts = [f"steps/{name}.sh" for name in names] + ["utils/mkgraph.sh"]
    scripts += ["steps/nnet3/xconfig_to_configs.py", "steps/nnet3/chain/train.py"]
    for script in scripts:
        words = f'mkdir -p "${{@: -1}}"\necho {script} "$@" >> calls'
        write_script(work / script, f"#!/usr/bin/env bash\n{words}\n")
    write_script(work / "bin/tree-info", "#!/bin/sh\necho num-pdfs 8\n")
    write_script(work / "bin/feat-to-dim", "#!/bin/sh\necho 7\n")
    for part in ("test_hires", "train_aug_mfcc"):
        write_table(work / "data/true" / part / "spk2utt", {"s1": "s1-t0 s1-t1"})
    done = run(
        *(CHAIN / "network.sh", "--cmd", "run.pl", *options, "data/true", "exp/true"),
        cwd=work,
        PATH=f"{work}/bin:{os.environ['PATH']}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split(" ", 1) for line in (work / "calls").read_text().splitlines())


@pytest.mark.parametrize(
    ("mean", "cmvn", "egs"),
    [
        ("kept", "--norm-means=false --norm-vars=false", ""),
        ("removed", "--norm-means=true --norm-vars=false", ""),
        ("online", "--config=conf/online_cmvn.conf", " --online-cmvn true"),
    ],
)
def test_what_becomes_of_the_speakers_mean(work, mean, cmvn, egs):
    calls = train_network(work, "--mean", mean)
    trained = calls["steps/nnet3/chain/train.py"]
    assert f"--feat.cmvn-opts={cmvn} --" in trained
    assert f"--num-utts-subset 60{egs} --" in trained
    assert "ivector" not in trained + calls["steps/nnet3/decode.sh"]
    assert f"--dir exp/true/tdnn_{mean}_seed1" in trained


def test_rows_stand_beside_the_features(work):
    calls = train_network(work, "--mean", "removed", "--rows", "mine")
    network = work / "exp/true/tdnn_removed_mine_seed1"
    xconfig = (network / "configs/network.xconfig").read_text()
    assert xconfig.startswith("input name=ivector dim=7\n")
    assert "Append(-1,0,1,ReplaceIndex(ivector, t, 0))" in xconfig
    for script, part in (("train.py", "train_aug"), ("decode.sh", "test")):
        (said,) = (words for name, words in calls.items() if name.endswith(f"/{script}"))
        assert f"online-ivector-dir exp/true/rows/mine/{part}" in said


@pytest.mark.parametrize(("gpu", "cmd"), [("false", "run.pl"), ("true", "run.pl --gpu 1")])
def test_only_training_on_gpus_asks_for_one(work, gpu, cmd):
    said = train_network(work, "--gpu", gpu, "--gpu-cmd", "run.pl --gpu 1")
    said = said["steps/nnet3/chain/train.py"]
    assert f" --cmd {cmd} --use-gpu {'wait' if gpu == 'true' else 'no'} --egs.cmd run.pl --" in said


def test_rows_side_by_side_that_could_not_be_joined(work):
    """A program that is killed leaves the first lines, and the script went on with them."""
    for part in ("train_aug", "test"):
        place = work / "exp/true/rows/mine" / part
        write_table(place / "ivector_online.scp", {"a": "x.ark:4", "b": "x.ark:9"})
        for name in ("ivector_period", "final.ie.id", ".done"):
            (place / name).write_text("10\n")
    (work / "exp/models/mine").mkdir(parents=True)
    (work / "exp/models/mine/.done").write_text("1\n")
    for words in ("kill -9 $$", "exit 0"):
        write_script(
            work / "bin/paste-feats",
            f"#!/usr/bin/env bash\nlast=${{@: -1}}\necho a x.ark:4 > ${{last##*,}}\n{words}\n",
        )
        made = run(
            *(CHAIN / "rows.sh", "--cmd", "run_local.py", "--models", "exp/models", "mine+mine"),
            *("data/true", "exp/true"),
            cwd=work,
            PATH=f"{work}/bin:{os.environ['PATH']}",
        )
        assert made.returncode == 1, made.stdout
        assert "side_by_side failed" in made.stderr
        assert not (work / "exp/true/rows/mine+mine/train_aug/.done").exists()


def test_a_mean_that_is_not_known(work):
    refused = run(CHAIN / "network.sh", "--mean", "halved", "data/true", "exp/true", cwd=work)
    assert refused.returncode == 1
    assert "--mean takes kept or removed or online, not 'halved'" in refused.stderr


def test_speakers_that_are_not_known(work):
    refused = run(CHAIN / "speakers.sh", "cluster", "data", "exp/unspeech", cwd=work)
    assert refused.returncode == 1
    assert "begins with 'cluster'; it may be true, none or clusters" in refused.stderr


def test_nothing_is_left_to_do_for_the_table_alone(work):
    done = run(CHAIN / "experiment.sh", "--stage", 4, "data", "exp", cwd=work)
    assert done.returncode == 0, done.stderr
