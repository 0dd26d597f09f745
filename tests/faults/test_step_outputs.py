"""Outputs of steps: whether they are still those of their inputs, and how they are replaced."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.shell import run_bash, write_script
from helpers.step_calls import done, files_of, step, write_vectors

from unspeech.audio.decoding import wav_bytes
from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table, write_table


def fbank(place: Path, *options) -> subprocess.CompletedProcess:
    return step("make_fbank", "--nj", 2, *options, "data", cwd=place, KALDI_ROOT="")


def test_replaced_audio_is_noticed(place, monkeypatch):
    monkeypatch.chdir(place)  # names in feats.scp are relative to where the step was called
    assert fbank(place).returncode == 0
    samples = 0.1 * np.random.default_rng(9).normal(size=4000)
    (place / "data/audio/1.wav").write_bytes(wav_bytes(samples, 16000))
    result = fbank(place)
    assert result.returncode == 1
    assert "data/feats.scp was made otherwise: wav.scp is another one now" in result.stderr
    before = dict(iterate_arrays(place / "data/feats.scp"))
    assert fbank(place, "--overwrite", "true").returncode == 0
    after = dict(iterate_arrays(place / "data/feats.scp"))
    assert [np.array_equal(before[u], after[u]) for u in before] == [True, False, True]


def test_audio_within_pipes_is_noticed(place):
    entry = f"cat {place}/data/audio/0.wav |"
    write_table(place / "data/wav.scp", {"a-1": entry})
    (place / "data/utt2spk").unlink()
    assert fbank(place).returncode == 0
    os.utime(place / "data/audio/0.wav", (1, 1))
    assert "wav.scp is another one now" in fbank(place).stderr


def test_going_on_from_a_complete_output_loses_nothing_if_it_fails(tmp_path):
    write_vectors(tmp_path / "vectors")
    done("cluster", "vectors", "clusters", cwd=tmp_path)
    (tmp_path / "clusters/probabilities").unlink()
    assert step("cluster", "--cmd", "false", "vectors", "clusters", cwd=tmp_path).returncode == 1
    before = files_of(tmp_path)
    other = ("--cmd", "false", "--min-cluster-size", 3, "vectors", "clusters")
    refused = step("cluster", *other, cwd=tmp_path)
    assert "clusters.json was begun otherwise: min-cluster-size was" in refused.stderr
    assert files_of(tmp_path) == before
    done("cluster", "vectors", "clusters", cwd=tmp_path)


def test_files_that_are_put_there_after_a_call_failed_are_kept(place):
    assert fbank(place, "--cmd", "false").returncode == 1
    (place / "data/feats.scp").write_text("a-1 of/somebody.ark:4\n")
    for options in ([], ["--overwrite", "true"]):
        refused = fbank(place, *options)
        assert "feats.scp is there already, and was not made by this step" in refused.stderr
    assert (place / "data/feats.scp").read_text() == "a-1 of/somebody.ark:4\n"
    (place / "data/feats.scp").unlink()
    assert fbank(place).returncode == 0


@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_an_output_whose_archive_is_lost_is_made_again(damage, place):
    assert fbank(place).returncode == 0
    ark = place / "data/data/raw_fbank_data.1.ark"
    whole = ark.read_bytes()
    if damage == "gone":
        ark.unlink()
    else:
        ark.write_bytes(whole[: 0 if damage == "empty" else 100])
    result = fbank(place)
    assert result.returncode == 0, result.stderr
    assert "making it again" in result.stdout
    assert ark.read_bytes() == whole
    assert "nothing to do" in fbank(place).stdout


def test_a_finished_job_whose_archive_is_lost_is_done_again(place):
    result = run_bash(
        f"""
        cd "{place}"
        begin_step out/x -- gold
        for job in 1 2; do
          once.py out/x "$job" gold --leaves "out/$job" cp gold "out/$job"
        done
        rm out/1
        once.py out/x 1 gold --leaves out/1 cp gold out/1
        once.py out/x 2 gold --leaves out/2 cp gold out/2
        """
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Done before") == 1
    assert (place / "out/1").exists()


def test_a_lost_utterance_is_noticed(place):
    lose = "sed -i 1d out/x"
    script = """
        cd "{}"
        begin_step out/x -- gold
        once.py out/x 1 gold cp gold out/x
        {}
        same_utterances out/x gold out/x
        finish_step out/x
        """
    result = run_bash(script.format(place, lose))
    assert result.returncode == 1
    assert "out/x: utterance 's0-00' of gold is missing, 39 of 40 are there" in result.stderr
    assert not (place / "out/.x.made_from").exists()
    assert run_bash(script.format(place, "")).returncode == 0


def test_a_failure_within_a_substitution_ends_the_script():
    result = run_bash('nj=$(false; echo 3); echo "went on with $nj"')
    assert result.returncode == 1
    assert "went on" not in result.stdout


def test_clusters_follow_the_archives_behind_an_scp(place):
    """In two archives, whose text of names and offsets stays the same."""
    write_vectors(place / "two", archives=2)
    cluster = ["--algorithm", "approximate", "--utt2spk", "gold", "two", "out"]
    done("cluster", *cluster, cwd=place)
    text = (place / "two/embedding.scp").read_text()
    write_vectors(place / "two", seed=1, archives=2)
    assert (place / "two/embedding.scp").read_text() == text
    os.utime(place / "two/1.ark", ns=(1, 1))
    assert "embedding.scp is another one now" in step("cluster", *cluster, cwd=place).stderr
    vectors = (place / "out/graph/vectors.npy").read_bytes()
    done("cluster", "--overwrite", "true", *cluster, cwd=place)
    assert (place / "out/graph/vectors.npy").read_bytes() != vectors


def test_overwriting_makes_a_damaged_graph_again(place):
    done("cluster", "--algorithm", "approximate", "emb", "out", cwd=place)
    whole = (place / "out/utt2spk").read_bytes()
    for file in (place / "out/graph").iterdir():
        file.write_bytes(file.read_bytes()[:40])
    done("cluster", "--algorithm", "approximate", "--overwrite", "true", "emb", "out", cwd=place)
    assert (place / "out/utt2spk").read_bytes() == whole


def test_a_failed_replacement_leaves_the_old_output(place):
    assert fbank(place).returncode == 0
    before = files_of(place)
    bad = place / "bad.conf"
    bad.write_text("--num-mel-bins=none\n")
    assert fbank(place, "--overwrite", "true", "--fbank-config", bad).returncode == 1
    bad.unlink()
    result = fbank(place)  # with the settings of the output that is there
    assert result.returncode == 0, result.stderr
    assert "complete already" in result.stdout
    assert files_of(place) == before


def test_a_killed_replacement_goes_on(place):
    assert fbank(place).returncode == 0
    old = (place / "data/data/raw_fbank_data.1.ark").read_bytes()
    write_script(place / "stop", "#!/bin/sh\nexit 1\n")
    words = ["--seed", "2", "--overwrite", "true"]
    assert fbank(place, *words, "--cmd", place / "stop").returncode == 1
    assert fbank(place, "--seed", "2").returncode == 0
    assert (place / "data/data/raw_fbank_data.1.ark").read_bytes() != old
    assert not [path for path in place.rglob("*") if path.name.endswith(".replaced")]


KILLER = """
import os, signal

replace = os.replace


def replace_or_die(source, target, **options):
    wanted = os.environ.get("DIE_BEFORE_REPLACING", "")
    if os.path.realpath(target) == os.path.realpath(wanted):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target, **options)


os.replace = replace_or_die
"""


def killed_before_replacing(file: str, *words, cwd: Path) -> None:
    """Call a step whose programs die by SIGKILL when they are about to give a file this name."""
    (cwd / "killer").mkdir(exist_ok=True)
    (cwd / "killer/sitecustomize.py").write_text(KILLER)
    die = {"DIE_BEFORE_REPLACING": file, "PYTHONPATH": str(cwd / "killer"), "KALDI_ROOT": ""}
    assert step(*words, cwd=cwd, **die).returncode != 0
    shutil.rmtree(cwd / "killer")


def test_a_kill_while_old_files_are_put_back_loses_none(place):
    assert fbank(place).returncode == 0
    before = files_of(place)
    write_script(place / "first", ONLY_JOB_1)
    words = ["--nj", 2, "--seed", 2, "--overwrite", "true", "--cmd", place / "first"]
    assert fbank(place, *words).returncode == 1
    (place / "first").unlink()
    last = "data/data/raw_fbank_data.2.scp"
    killed_before_replacing(last, "make_fbank", "--nj", 2, "data", cwd=place)
    assert not (place / last).exists()
    assert "complete already" in fbank(place).stdout
    assert files_of(place) == before


ONLY_JOB_1 = """#!/bin/sh
shift
run_local.py JOB=1:1 "$@"
exit 1
"""


def test_a_killed_replacement_of_a_data_directory_goes_on(place):
    done("import_corpus", "data", "out", cwd=place)
    write_table(place / "data/utt2spk", {"a-1": "x", "a-2": "y", "b-1": "z"})
    write_table(place / "data/text", {"a-1": "new", "a-2": "new", "b-1": "new"})
    again = ["import_corpus", "--overwrite", "true", "data", "out"]
    killed_before_replacing("out/utt2spk", *again, cwd=place)
    done(*again, cwd=place)
    done("import_corpus", "data", "other", cwd=place)
    assert files_of(place / "out") == files_of(place / "other")


def test_lines_and_files_of_a_data_directory_come_back(place):
    done("import_corpus", "data", "out", cwd=place)
    before = files_of(place / "out")
    for name in ("wav.scp", "utt2spk"):  # as utils/fix_data_dir.sh would do
        lines = (place / "out" / name).read_text().splitlines(keepends=True)
        (place / "out" / name).write_text("".join(lines[1:]))
    (place / "out/feats.scp").write_text("of a later step\n")
    assert "complete already" in done("import_corpus", "data", "out", cwd=place)
    done("import_corpus", "--overwrite", "true", "data", "out", cwd=place)
    (place / "out/feats.scp").unlink()
    assert files_of(place / "out") == before
    (place / "out/wav.scp").unlink()
    (place / "out/utt2spk").write_text("")
    said = done("import_corpus", "data", "out", cwd=place)
    assert "out/utt2spk is gone or empty: making it again" in said
    assert files_of(place / "out") == before


@pytest.mark.parametrize("name", ["perturb_speed", "augment"])
def test_copies_notice_other_transcripts(name, place):
    write_table(place / "data/text", {"a-1": "wrong", "a-2": "two", "b-1": "three"})
    done(name, "data", "out", cwd=place)
    write_table(place / "data/text", {"a-1": "one", "a-2": "two", "b-1": "three"})
    assert "text is another one now" in step(name, "data", "out", cwd=place).stderr


def test_clusters_notice_other_utterances(place):
    words = ["make_clustered_data_dir", "data", "clusters", "out"]
    done(*words, cwd=place)
    write_table(place / "data/utt2spk", {"a-1": "a", "a-2": "a"})
    assert "is another one now" in step(*words, cwd=place).stderr


def test_scores_notice_other_clusters(place):
    gold = read_table(place / "gold")
    write_table(place / "found/utt2spk", {u: f"c{s[1:]}" for u, s in gold.items()})
    (place / "found/outliers").write_text("")
    (place / "found/clusters.json").write_text("{}")
    words = ["evaluate", "--clusters", "found", "emb", "gold", "out"]
    done(*words, cwd=place)
    write_table(place / "found/utt2spk", dict.fromkeys(gold, "c0"))
    assert "utt2spk is another one now" in step(*words, cwd=place).stderr


def test_features_notice_another_channel(place):
    assert fbank(place).returncode == 0
    write_table(place / "data/reco2file_and_channel", {"a-1": "a-1 B"})
    assert 'reco2file_and_channel was "", is "md5:' in fbank(place).stderr


def test_a_removed_log_directory_is_not_in_the_way(place):
    write_script(place / "first", ONLY_JOB_1)
    assert fbank(place, "--cmd", place / "first").returncode == 1
    shutil.rmtree(place / "data/log")
    assert fbank(place).returncode == 0
    assert len(read_table(place / "data/feats.scp")) == 3


TRAINER = """#!/usr/bin/env bash
set -e
[ ! -e fail ]
mkdir -p out/checkpoints
[ -e out/checkpoints/checkpoint ] && echo "goes on" >> trained || echo "begins" >> trained
for name in config.yaml model.weights.h5 final.ie.id checkpoints/checkpoint; do
  echo "$RANDOM $*" > "out/$name"
done
"""


def test_a_model_stays_until_another_is_trained(place):
    words = ["--cmd", write_script(place / "trainer", TRAINER), "feats", "out"]
    done("train", *words, cwd=place)
    old = files_of(place / "out")
    (place / "out/notes").write_text("precious\n")
    (place / "fail").touch()
    assert step("train", "--overwrite", "true", "--seed", 2, *words, cwd=place).returncode == 1
    assert "complete already" in done("train", *words, cwd=place)
    assert files_of(place / "out") == old | {"notes": b"precious\n"}
    (place / "fail").unlink()
    done("train", "--num-steps", 9, *words, cwd=place)
    done("train", "--overwrite", "true", "--seed", 2, *words, cwd=place)
    assert (place / "trained").read_text().split("\n")[:3] == ["begins", "goes on", "begins"]
    new = files_of(place / "out")
    assert new.keys() == old.keys() | {"notes"}
    assert new["model.weights.h5"] != old["model.weights.h5"]
    assert not [path for path in place.rglob("*") if path.name.endswith(".replaced")]


def test_overwriting_removes_its_own_files_only(place):
    assert fbank(place).returncode == 0
    for name in ("data/notes", "data/data/notes", "data/log/notes"):
        (place / name).write_text("precious\n")
    assert fbank(place, "--nj", "1", "--overwrite", "true").returncode == 0
    assert all((place / name).exists() for name in ("data/notes", "data/data/notes"))
    assert not (place / "data/data/raw_fbank_data.2.ark").exists()  # it made this one


def test_a_folder_with_a_link_that_leads_back(place):
    (place / "folder/loop").symlink_to("..")
    said = done("import_corpus", "folder", "out", cwd=place)
    assert "Left out 1 links that lead back: loop" in said


def test_a_table_that_was_cut_is_noticed(place):
    first, *_ = (place / "data/wav.scp").read_text().splitlines(keepends=True)
    (place / "data/wav.scp").write_text(first)
    result = fbank(place)
    assert result.returncode == 1
    said = "2 utterances of data/utt2spk have no line in data/wav.scp, such as 'a-2'"
    assert said in result.stderr
    (place / "data/utt2spk").write_text("".join(f"a-{n} a\n" for n in range(1, 22)))
    write_table(
        place / "data/wav.scp", {f"a-{n}": f"{place}/data/audio/0.wav" for n in range(2, 22)}
    )
    result = fbank(place)
    assert result.returncode == 0, result.stderr
    assert "1 utterances of data/utt2spk have no line in data/wav.scp" in result.stdout
    assert "'a-1': left out" in result.stdout


def test_importing_again_keeps_what_others_put_there(place):
    done("import_corpus", "folder", "out", cwd=place)
    (place / "out/notes").write_text("precious\n")
    (place / "folder/0.wav").rename(place / "folder/zero.wav")
    assert "made otherwise" in step("import_corpus", "folder", "out", cwd=place).stderr
    done("import_corpus", "--overwrite", "true", "folder", "out", cwd=place)
    assert list(read_table(place / "out/wav.scp")) == ["1", "2", "zero"]
    assert (place / "out/notes").exists()


def test_a_removed_data_directory_is_made_again_of_anything(place):
    done("import_corpus", "folder", "out", cwd=place)
    shutil.rmtree(place / "out")
    (place / "folder/0.wav").rename(place / "folder/zero.wav")
    done("import_corpus", "folder", "out", cwd=place)
    assert list(read_table(place / "out/wav.scp")) == ["1", "2", "zero"]


def test_an_emptied_data_directory_is_made_again(place):
    done("import_corpus", "data", "out", cwd=place)
    before = files_of(place / "out")
    shutil.rmtree(place / "out")
    (place / "out").mkdir()
    assert "is gone: making it again" in done("import_corpus", "data", "out", cwd=place)
    assert files_of(place / "out") == before


def test_a_data_directory_behind_a_link(place):
    (place / "disk/out").mkdir(parents=True)
    (place / "out").symlink_to("disk/out")
    done("import_corpus", "data", "out", cwd=place)
    done("import_corpus", "--overwrite", "true", "data", "out", cwd=place)
    assert (place / "out").is_symlink()
    done("import_corpus", "data", "other", cwd=place)
    assert files_of(place / "out") == files_of(place / "other")


def test_inputs_with_a_space_in_their_name(place):
    (place / "my conf.conf").write_text("--dither=0\n")
    call = ["make_fbank", "--fbank-config", "my conf.conf", "data"]
    done(*call, cwd=place)
    assert "complete already" in done(*call, cwd=place)
    (place / "my conf.conf").write_text("--dither=1\n")
    assert "my_conf.conf is another one now" in step(*call, cwd=place).stderr


def test_a_failed_import_leaves_the_old_one(place):
    done("import_corpus", "data", "out", cwd=place)
    before = files_of(place / "out")
    (place / "folder/0.wav").rename(place / "folder/1.flac")  # two utterances called 1
    assert step("import_corpus", "--overwrite", "true", "folder", "out", cwd=place).returncode == 1
    assert files_of(place / "out") == before
    done("import_corpus", "data", "out", cwd=place)


def test_nothing_is_recorded_of_a_call_that_did_no_work(place):
    bad = place / "bad.conf"
    bad.write_text("--num-mel-bins=none\n")
    assert fbank(place, "--fbank-config", bad).returncode == 1
    result = fbank(place)
    assert result.returncode == 0, result.stderr


def test_a_config_that_training_refuses_is_not_in_the_way(place):
    """What a job wrote before it failed goes, as long as no work stands behind it."""
    write_script(place / "refuse", '#!/bin/sh\necho "fc_size: -3" > out/config.yaml\nexit 1\n')
    words = ["--cmd", place / "refuse", "feats", "out"]
    step("train", "--train-opts", "--fc-size -3", *words, cwd=place)
    assert (place / "out/config.yaml").exists()
    write_script(place / "refuse", "#!/bin/sh\n[ ! -e out/config.yaml ] || exit 2\nexit 1\n")
    step("train", *words, cwd=place)
    assert not (place / "out/config.yaml").exists()
    (place / "out/checkpoints").mkdir(exist_ok=True)
    (place / "out/checkpoints/checkpoint").touch()
    result = step("train", "--seed", "2", *words, cwd=place)
    assert 'out/final.ie.id was begun otherwise: seed was "1", is "2"' in result.stderr
    result = step("train", "--num-steps", "7", *words, cwd=place)
    assert "was begun otherwise" not in result.stderr


def test_an_unreadable_table_is_not_taken_for_an_empty_one(place):
    wav = place / "data/wav.scp"
    text = wav.read_bytes()
    wav.write_bytes(b"\xff\xfe\n")
    assert step("import_corpus", "data", "out", cwd=place).returncode == 1
    wav.write_bytes(text)
    done("import_corpus", "data", "out", cwd=place)
