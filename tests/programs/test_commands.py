"""docs/commands.md: every twin of a command of the original runs; its ways of options are taken."""

import shlex
import shutil

import pytest
import yaml
from helpers.models import tiny_options
from helpers.programs import ROOT, call, call_fails
from helpers.shell import STEPS, run, run_bash

SMALL = {"embedding_transformation": "BaselineDnn", "rnn_hidden_cells": 8, "num_steps": 1}
PAGE = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
TWINS = {
    section.splitlines()[0]: section.partition("```bash\n")[2].partition("```")[0]
    for section in PAGE.split("\n## ")[1:]
}


def commands(twin: str) -> list[list[str]]:
    """The programs of a twin with their options: what bash would call, for the first set only."""
    first = twin.replace("in dev test train valid_dev valid_test;", "in dev;")
    first = first.replace("in dev test train;", "in dev;").replace("half_index 100", "half_index 8")
    printed = run_bash("python3() { printf '%q ' \"$@\"; echo; }\n" + first)
    assert printed.returncode == 0, printed.stderr
    found = [shlex.split(line) for line in printed.stdout.splitlines()]
    assert all(words[0] == "-m" and words[1].startswith("unspeech.") for words in found)
    return [[words[1].removeprefix("unspeech."), *words[2:]] for words in found]


@pytest.fixture(scope="module")
def place(tiny_data, tiny_model, tmp_path_factory):
    """A directory with what the page's commands read."""
    root = tmp_path_factory.mktemp("commands")
    for name in ("train", "dev"):
        shutil.copytree(tiny_data, root / "data" / name)
    utterances = [line.split()[0] for line in (tiny_data / "feats.scp").open()]
    units = [f"{u} 1 {k / 10:.2f} 0.10 a\n" for u in utterances for k in range(9)]
    (root / "data/train/alignments.ctm").write_text("".join(units))
    shutil.copytree(tiny_model, root / "exp/model")
    return root


@pytest.mark.parametrize("name", TWINS)
def test_every_twin_runs(name, place):
    found = commands(TWINS[name])
    assert found, "a command of the original without a twin"
    for program, *words in found:
        if program == "train":  # of two options of one name the last counts
            dynamic = {"embedding_transformation": "Dynamic_biLSTM"} if "--ali_ctm" in words else {}
            words += tiny_options(**SMALL | dynamic)
        call(program, *words, cwd=place)
        for option in ("--dir", "--out", "--ark"):
            if option in words:
                assert (place / words[words.index(option) + 1]).exists()


def test_the_page_names_every_script_of_the_original():
    scripts = """cluster_results cluster_results_train gen_feat_unspeech64_phn run_tsne_spk_viz
        gen_feat_unspeech64_sp_kaldi_20k_win64_lmt samedifferent_results test_gen_feat_dev
        test_gen_feat_dev_vgg_rnd_samp test_sampling train_fbank_tedlium2
        train_fbank_tedlium2_rnd_sm train_fbank_tedlium_dynamic_LSTM"""
    for script in scripts.split():
        assert f"`{script}.sh`" in " ".join(TWINS), script


def test_booleans_are_switched_as_in_the_original(tiny_data, tmp_path):
    words = ["--nosample_2x_neg", "--unit_normalize=1", "--no-tied-embeddings-transforms"]
    words += ["--noend_to_end", "--use_weighted_loss_func=True", "--unit_normalize_var", "False"]
    words += ["--test_sampling=false"]
    tiny = tiny_options(num_steps=1, embedding_transformation="BaselineDnn")
    call("train", "--data", tiny_data, "--dir", tmp_path, *tiny, *words)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    expected = {
        "sample_2x_neg": False, "unit_normalize": True, "tied_embeddings_transforms": False,
        "end_to_end": False, "use_weighted_loss_func": True, "unit_normalize_var": False,
    }  # fmt: skip
    assert {name: config[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("program", "option", "answer"),
    [
        ("train", "--embedding_transform", "it is --embedding-transformation here"),
        ("train", "--dynamic_windows", "it follows from --embedding-transformation"),
        ("train", "--train_dir", "the model directory: --dir of training"),
        ("train", "--nodebug", "gone: train on a smaller corpus"),
        ("embed", "--fc_size=2048", "kept in the model directory: leave it out"),
        ("embed", "--output_feat_file", "--ark, with its ending .ark"),
        ("cluster", "--output_utt2spk", "the file utt2spk in the clusters directory"),
        ("cluster", "--mode", "samedifferent is steps_unspeech/evaluate.sh"),
        ("evaluate", "--max_spk", "it is --max-spks here"),
        ("train", "--no-such", "unknown option --no-such; see --help"),
    ],
)
def test_options_of_the_original_are_answered_with_the_new_ones(program, option, answer):
    assert answer in call_fails(program, option)


def test_steps_answer_likewise(tmp_path):
    step = run(STEPS / "cluster.sh", "--output-utt2spk", "x", tmp_path, tmp_path / "out")
    assert step.returncode == 1
    assert "of the original: the file utt2spk in the clusters directory" in step.stderr
    step = run(STEPS / "cluster.sh", "--utt2spk", "none", tmp_path, tmp_path / "out")
    assert "no embedding.scp or ivector_online.scp in it" in step.stderr, "none is no file"
