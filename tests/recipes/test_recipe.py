"""`./run.sh` beside a Kaldi recipe: its data in, i-vectors where its own scripts look for them.

The speech is emodb's where UNSPEECH_CORPORA has it, else made up. With KALDI_ROOT the recipes are
Kaldi's and run as they are, but for scripts that need compiled programs.
"""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from helpers.models import RUN_SETTINGS, STATISTICS
from helpers.programs import call
from helpers.recipes import (
    GMM,
    IVECTORS,
    LIBRI,
    RATE,
    SPEEDS,
    TED,
    TEST,
    TRAIN,
    make_recipe,
    write_set,
)
from helpers.shell import copy_checkout, run, times_of_files

from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import invert, read_table, write_table


def train(checkout: Path, *options) -> str:
    """Call run.sh with settings that make a small model and rows of 100 columns.

    Beside TED-LIUM it is without a network, as by default; with --recipe it is a network with the
    paper's objective.
    """
    network = "--recipe" in options
    settings = RUN_SETTINGS if network else STATISTICS  # with the means of 40 channels
    settings = settings | {"embedding_size": 100 if network else 60}
    (checkout / "tiny.yaml").write_text(yaml.safe_dump(settings))
    command = [checkout / "run.sh", "--config", "tiny.yaml", "--rounds", 1, "--nj", 1, *options]
    # Kaldi, if there is one, is found three levels up.
    kaldi = (checkout.parents[1] / "wsj").exists()
    jobs = dict.fromkeys(("train_cmd", "gpu_cmd"), "run.pl" if kaldi else "run_local.py")
    result = run(*command, cwd=checkout, KALDI_ROOT="", **jobs)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def egs(tmp_path_factory) -> Path:
    """Both recipes after our run.sh: in the checkout beside TED-LIUM's, and with --recipe."""
    root = tmp_path_factory.mktemp("kaldi")
    egs, kaldi = root / "egs", Path(os.environ.get("KALDI_ROOT") or "/nonexistent")
    for name in (TED, LIBRI):
        make_recipe(egs / name)
    for part in ("egs/wsj", "src", "tools") if kaldi.is_dir() else ():
        (root / part).symlink_to(kaldi / part)
    write_set(egs / TED, "train_cleaned_sp", range(4), SPEEDS)  # mini_librispeech has none yet
    before = [times_of_files(egs / name / "data") for name in (TED, LIBRI)]

    checkout = copy_checkout(egs / "tedlium/unspeech")
    train(checkout, "--stop-stage", 2)
    train(checkout, "--stage", 3, "--stop-stage", 6)
    recipe = ["--recipe", egs / LIBRI]
    train(checkout, *recipe, "--stop-stage", 2)
    train(checkout, *recipe, "--stage", 3, "--stop-stage", 4)

    assert [times_of_files(egs / name / "data") for name in (TED, LIBRI)] == before
    for name in (TED, LIBRI):
        assert [each.name for each in (egs / name / "exp").iterdir()] == ["nnet3_unspeech"]
    return egs


def frames(data: Path) -> dict[str, int]:
    """Frames that Kaldi makes of each utterance: 25 ms every 10 ms, none over the end."""
    samples = {}
    for utterance in read_table(data / "utt2spk"):
        prefix, original = re.fullmatch(r"(sp...-)?(.*)", utterance).groups("")
        if (data / "segments").exists():
            _, start, end = read_table(data / "segments")[utterance].split()
            samples[utterance] = int(float(end) * RATE) - int(float(start) * RATE)
        else:
            length = soundfile.info(data.parent.parent / f"db/{original}.wav").frames
            samples[utterance] = round(length / SPEEDS[prefix])
    return {utterance: (count - 400) // 160 + 1 for utterance, count in samples.items()}


@pytest.mark.parametrize("name", [TED, LIBRI])
def test_ivectors_fit_the_recipes_data(egs, name, monkeypatch):
    recipe = egs / name
    monkeypatch.chdir(recipe)  # where its scripts run
    as_recipe = recipe / "data" / f"{TRAIN[name]}_sp"
    if not as_recipe.exists():  # made by us; this is what the recipe will make
        write_set(recipe, as_recipe.name, range(4), SPEEDS)
    ids = set()
    for each in (as_recipe.name, *TEST[name]):
        ivectors = Path(IVECTORS.format(each))
        rows = dict(iterate_arrays(ivectors / "ivector_online.scp"))
        expected = frames(recipe / "data" / each)
        assert list(rows) == sorted(expected)
        assert {u: matrix.shape for u, matrix in rows.items()} == {
            u: (-(-count // 10), 100) for u, count in expected.items()
        }
        assert (ivectors / "ivector_period").read_text() == "10\n"
        ids.add((ivectors / "final.ie.id").read_text())
    model = recipe / "exp/nnet3_unspeech/model/final.ie.id"
    assert len(ids) == 1
    assert (ids == {model.read_text()}) == (name == LIBRI), "rows with means are others"


def test_rows_are_means_of_what_the_speaker_has_said_so_far(egs, tmp_path, monkeypatch):
    """Of a network. In training speech every two utterances of a speaker stand for themselves."""
    monkeypatch.chdir(egs / LIBRI)
    made = Path("exp/nnet3_unspeech")
    for name, size in ((f"{TRAIN[LIBRI]}_sp", 2), (TEST[LIBRI][0], 99)):
        data, groups = made / "data" / name, {}
        for speaker, own in invert(read_table(data / "utt2spk")).items():
            own = own.split()
            for start in range(0, len(own), size):
                groups[f"{speaker}-{start}"] = " ".join(own[start : start + size])
        write_table(tmp_path / "spk2utt", groups)
        call("embed", "--feats", data / "feats.scp", "--model", made / "model",
             "--average", "running", "--spk2utt", tmp_path / "spk2utt",
             "--ark", tmp_path / "own.ark")  # fmt: skip
        expected = dict(iterate_arrays(tmp_path / "own.scp"))
        for utterance, rows in iterate_arrays(Path(IVECTORS.format(name)) / "ivector_online.scp"):
            np.testing.assert_allclose(rows, expected[utterance], atol=1e-5)


def test_speakers_to_score_with_are_persons(egs):
    for name, persons in ((TED, {"Talk4", "Talk5"}), (LIBRI, {"lbi-4", "lbi-5"})):
        data = egs / name / "exp/nnet3_unspeech/data" / TEST[name][0]
        assert len(set(read_table(data / "utt2spk").values())) == 4
        assert set(read_table(data / "utt2person").values()) == persons


def test_names_that_are_no_part_of_a_persons_stay_whole(egs):
    data = egs / TED / "exp/nnet3_unspeech/data/train_cleaned_sp"
    persons = read_table(data / "utt2person")
    assert persons["Talk1-2-0000003"] == "Talk1"
    assert persons["Talk0-0000117-0000180-0000003"] == "Talk0-0000117-0000180"


def test_training_speech_has_clusters_as_speakers(egs, kaldi):
    """In data directories with the recipe's features, copies with the cluster of their original."""
    recipe, made = egs / TED, egs / TED / "exp/nnet3_unspeech"
    clusters = read_table(made / "clusters/train_cleaned_sp/utt2spk")
    originals = read_table(recipe / "data/train_cleaned/utt2spk")
    assert clusters.keys() == originals.keys()
    for name in ("train_cleaned", "train_cleaned_sp", "dev"):
        new = made / f"data/{name}_clustered"
        old = read_table(recipe / "data" / name / "feats.scp")
        names = read_table(new / "utt_map")
        assert {names[u]: entry for u, entry in read_table(new / "feats.scp").items()} == old
        valid = run("utils/validate_data_dir.sh", new, cwd=recipe)
        assert "Successfully validated" in valid.stdout, valid.stdout + valid.stderr
    speakers = read_table(made / "data/train_cleaned_sp_clustered/utt2spk")
    for new, old in read_table(made / "data/train_cleaned_sp_clustered/utt_map").items():
        prefix, original = re.fullmatch(r"(sp...-)?(.*)", old).groups("")
        assert speakers[new] == prefix + clusters[original]
        assert new == f"{speakers[new]}-{original}"


def test_what_the_recipe_adds_to_its_data_changes_nothing(egs):
    for name in ("cmvn.scp", "split2/1/feats.scp"):
        file = egs / TED / "data/dev" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a b\n")
    said = train(egs / "tedlium/unspeech", "--stop-stage", 0)
    assert said.count("is complete already") == 3


def test_links_to_the_checkout_and_to_data(egs):
    """Names are those that stand in the recipe, as its own scripts look for them."""
    data = egs / LIBRI / "data"
    (data / "dev_clean_2").rename(data / "dev_v2")
    (data / "dev_clean_2").symlink_to("dev_v2")
    link = egs / LIBRI / "../linked"
    link.symlink_to(egs / "tedlium/unspeech")
    try:
        made = egs / LIBRI / "exp/linked"
        options = ["--config", "tiny.yaml", "--dir", made, "--stop-stage", 0]
        said = run(link / "run.sh", *options, cwd=link, KALDI_ROOT="")
        assert said.returncode == 0, said.stderr
        assert {path.name for path in (made / "data").iterdir()} >= {
            "train_clean_5_sp",
            "dev_clean_2",
        }
    finally:
        shutil.rmtree(made, ignore_errors=True)
        link.unlink()
        (data / "dev_clean_2").unlink()
        (data / "dev_v2").rename(data / "dev_clean_2")


def test_recipes_that_cannot_be_used(egs, tmp_path):
    for recipe, options, message in (
        ("tedlium/s5_r3", [], "data/train_cleaned: no data yet; run the recipe's own run.sh first"),
        (
            "tedlium/s5_r2",
            [],
            "s5_r2: its run_tdnn.sh looks for i-vectors that run.sh does not make",
        ),
        ("wsj/s5", [], "local/wsj/recipe.sh: no such file"),
        ("tedlium/s6", [], "tedlium/s6: no such directory"),
        ("tedlium/s5_r3", ["--corpus", "x"], "leave out --recipe or --corpus"),
    ):
        if recipe != "tedlium/s6":
            (tmp_path / recipe).mkdir(parents=True, exist_ok=True)
        command = [egs / "tedlium/unspeech/run.sh", "--recipe", tmp_path / recipe, *options]
        result = run(*command, KALDI_ROOT="")
        assert result.returncode == 1
        assert message in result.stderr


@pytest.mark.parametrize("name", [TED, LIBRI])
def test_kaldi_validates_data_and_ids(egs, name, kaldi):
    recipe, ours = egs / name, "exp/nnet3_unspeech"
    for each in (f"{TRAIN[name]}_sp", *TEST[name]):
        valid = run("utils/validate_data_dir.sh", f"{ours}/data/{each}", cwd=recipe)
        assert "Successfully validated" in valid.stdout, valid.stdout + valid.stderr
        ivectors = IVECTORS.format(each)
        found = run("steps/nnet2/get_ivector_id.sh", ivectors, cwd=recipe)
        assert found.stdout == (recipe / ivectors / "final.ie.id").read_text()
        # Rows with the means of the features have another id than the model.
        same = found.stdout == (recipe / ours / "model/final.ie.id").read_text()
        assert same == (name == LIBRI)
        (recipe / "exp/other").mkdir(exist_ok=True)
        (recipe / "exp/other/final.ie.id").write_text(found.stdout)
        check = ["steps/nnet2/check_ivectors_compatible.sh", "exp/other"]
        assert run(*check, ivectors, cwd=recipe).returncode == 0
        (recipe / "exp/other/final.ie.id").write_text("another\n")
        other = run("steps/nnet2/check_ivectors_compatible.sh", "exp/other", ivectors, cwd=recipe)
        assert other.returncode == 1


def write_script(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(("#!/usr/bin/env bash", "set -eu", "last=${@: -1}", *lines, "")))
    path.chmod(0o755)


def replace_compiled(recipe: Path) -> None:
    """Replace what needs compiled programs by what the scripts after it want to find."""
    for part in ("steps", "utils"):
        original = (recipe / part).resolve()
        (recipe / part).unlink()
        shutil.copytree(original, recipe / part, symlinks=True)
    steps, chain = recipe / "steps", recipe / "steps/nnet3/chain"
    write_script(steps / "align_fmllr_lats.sh", "mkdir -p $last; touch $last/fsts.1.gz")
    # A tree that a compiled tree-info can read: one leaf, of the last of eight pdfs.
    tree = "ContextDependency 1 0 ToPdf CE 7 EndContextDependency"
    build = f"mkdir -p $last; touch $last/final.mdl; echo '{tree}' > $last/tree"
    write_script(chain / "build_tree.sh", build)
    write_script(steps / "nnet3/xconfig_to_configs.py", "")
    write_script(recipe / "utils/mkgraph.sh", "mkdir -p $last; touch $last/{HCLG.fst,phones.txt}")
    write_script(steps / "lmrescore_const_arpa.sh", "mkdir -p $last")
    # What train.py and get_egs.sh ask of i-vectors, by Kaldi's library.
    write_script(
        chain / "train.py",
        "exec python3 - \"$@\" <<'END'",
        "import argparse, shutil, sys",
        "from pathlib import Path",
        "sys.path.insert(0, 'steps')",
        "import libs.common as common_lib",
        "parser = argparse.ArgumentParser()",
        "for name in ('feat.online-ivector-dir', 'feat-dir', 'dir'):",
        "    parser.add_argument(f'--{name}', dest=name.replace('-', '_').replace('feat.', ''))",
        "args, _ = parser.parse_known_args()",
        "for name in ('ivector_online.scp', 'ivector_period'):",
        "    assert Path(args.online_ivector_dir, name).is_file(), name",
        "assert Path(args.feat_dir, 'feats.scp').is_file()",
        "ivector_id = common_lib.get_ivector_extractor_id(args.online_ivector_dir)",
        "Path(args.dir, 'final.ie.id').write_text(ivector_id + '\\n')",
        "if shutil.which('feat-to-dim'):",
        "    assert common_lib.get_ivector_dim(args.online_ivector_dir) == 100",
        "for name in ('final.mdl', 'phones.txt'):",
        "    Path(args.dir, name).touch()",
        "END",
    )
    # Kaldi's own decode.sh as far as its checks.
    decode = (steps / "nnet3/decode.sh").read_text()
    checks, found, _ = decode.partition("sdata=$data/split$nj")
    assert found
    assert "check_ivectors_compatible.sh" in checks
    (steps / "nnet3/decode.sh").write_text(f"{checks}mkdir -p $dir; touch $dir/decoded\n")


@pytest.mark.parametrize("name", [TED, LIBRI])
def test_run_tdnn_takes_the_ivectors(egs, name, kaldi):
    recipe, train_set = egs / name, TRAIN[name]
    if not (recipe / f"data/{train_set}_sp").exists():
        write_set(recipe, f"{train_set}_sp", range(4), SPEEDS)
    replace_compiled(recipe)
    programs = recipe.parent / "programs"
    write_script(programs / "cuda-compiled")
    write_script(programs / "tree-info", "echo num-pdfs 8")
    # One recipe asks it a line of Python 2, the other of 3.
    write_script(programs / "python", "cat > /dev/null; echo 5.0")
    for file in (
        f"exp/{GMM[name]}/final.mdl",
        f"exp/{GMM[name]}_ali_{train_set}_sp/ali.1.gz",
        "data/lang/L.fst",
    ):
        (recipe / file).parent.mkdir(parents=True)
        (recipe / file).touch()
    (recipe / "data/lang/phones").mkdir()
    (recipe / "data/lang/phones/silence.csl").write_text("1:2\n")
    (recipe / "data/lang/phones/nonsilence.csl").write_text("3:4\n")

    options = ["--stage", "9", "--nnet3-affix", "_unspeech"]
    if name == LIBRI:
        options += ["--test-online-decoding", "false"]
    path = f"{programs}:{os.environ['PATH']}"
    result = run("local/chain/run_tdnn.sh", *options, cwd=recipe, PATH=path)
    assert result.returncode == 0, result.stdout + result.stderr
    (network,) = (recipe / "exp/chain_unspeech").glob("tdnn*_sp")
    assert "input dim=100 name=ivector" in (network / "configs/network.xconfig").read_text()
    ours = recipe / IVECTORS.format(f"{train_set}_sp") / "final.ie.id"
    assert (network / "final.ie.id").read_text() == ours.read_text()
    decoded = [file.parent.name for file in network.glob("decode*/decoded")]
    assert len(decoded) == len(TEST[name]), decoded

    missing = recipe / IVECTORS.format(f"{train_set}_sp") / "ivector_online.scp"
    missing.rename(missing.with_suffix(".away"))
    result = run("local/chain/run_tdnn.sh", *options, cwd=recipe, PATH=path)
    missing.with_suffix(".away").rename(missing)
    assert result.returncode == 1
    assert "expected file exp/nnet3_unspeech/ivectors" in result.stdout
