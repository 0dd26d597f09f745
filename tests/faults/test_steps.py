"""What the steps do with hostile and damaged calls: a table of those that they must refuse, and
calls in a row, of which the last must find what the ones before have left."""

import gzip
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.data import voices, write_features
from helpers.shell import ROOT, STEPS, run, run_bash, wait_until, write_script

from unspeech.audio.decoding import wav_bytes
from unspeech.kaldi.archives import ArkWriter, iterate_arrays
from unspeech.kaldi.tables import invert, read_table, write_table

HOSTILE = [
    "a b",
    "a;touch oops",
    "$(touch oops)",
    "`touch oops`",
    "a&b",
    "(a)",
    "a'b",
    'a"b',
    "$HOME",
]
SLOW = 120  # seconds after which a call counts as waiting for ever


def step(name: str, *words, cwd: Path, **environment) -> subprocess.CompletedProcess:
    return run(STEPS / f"{name}.sh", *words, cwd=cwd, **environment)


def done(name: str, *words, cwd: Path, **environment) -> str:
    """Call a step that must end well; returns what it printed."""
    result = step(name, *words, cwd=cwd, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def files_of(place: Path) -> dict[str, bytes]:
    """All files under final names: neither what begins with a dot, nor logs."""
    found = {}
    for path in place.rglob("*"):
        parts = path.relative_to(place).parts
        if path.is_file() and not any(p.startswith(".") or p == "log" for p in parts):
            found["/".join(parts)] = path.read_bytes()
    return found


def write_audio(data: Path, utterances: list[str], seed: int = 0) -> Path:
    """A data directory of noise, a quarter of a second an utterance."""
    rng = np.random.default_rng(seed)
    (data / "audio").mkdir(parents=True, exist_ok=True)
    for number, _ in enumerate(utterances):
        samples = 0.1 * rng.normal(size=4000)
        (data / f"audio/{number}.wav").write_bytes(wav_bytes(samples, 16000))
    wav = {u: f"{data / f'audio/{number}.wav'}" for number, u in enumerate(utterances)}
    write_table(data / "wav.scp", wav)
    utt2spk = {u: u.split("-")[0] for u in utterances}
    write_table(data / "utt2spk", utt2spk)
    write_table(data / "spk2utt", invert(utt2spk))
    return data


def write_vectors(directory: Path, seed: int = 0, archives: int = 1) -> Path:
    """40 vectors of four voices, in one archive or some."""
    rng = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    means, lines = 5 * rng.normal(size=(4, 8)), []
    for archive in range(archives):
        with ArkWriter(directory / f"{archive}.ark") as writer:
            for n in range(archive, 40, archives):
                writer.write(f"s{n % 4}-{n:02d}", means[n % 4] + 0.1 * rng.normal(size=8))
        lines += (directory / f"{archive}.scp").read_text().splitlines(keepends=True)
    (directory / "embedding.scp").write_text("".join(sorted(lines)))
    return directory


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A data directory, a folder of audio, features, vectors, a clustering, what looks a model."""
    place = tmp_path_factory.mktemp("template") / "place"
    write_audio(place / "data", ["a-1", "a-2", "b-1"])
    shutil.copytree(place / "data/audio", place / "folder")
    write_features(place / "feats", {name: m[:20] for name, m in voices(2, 2).items()})
    write_vectors(place / "emb")
    write_table(
        place / "gold", {u: u.split("-")[0] for u in read_table(place / "emb/embedding.scp")}
    )
    (place / "model").mkdir()
    (place / "model/config.yaml").write_text("end_to_end: false\n")
    (place / "model/final.ie.id").write_text("an id\n")
    (place / "model/model.weights.h5").write_text("weights\n")
    write_table(place / "clusters/utt2spk", {"a-1": "c0", "a-2": "c0", "b-1": "c1"})
    (place / "clusters/clusters.json").write_text("{}\n")
    (place / "clusters/members.npz").write_bytes(b"members")
    (place / "conf").mkdir()
    (place / "conf/tiny.yaml").write_text("num_steps: 1\n")
    # Paths in tables hold the place's name, which the copies for each fault have, too.
    return place


@pytest.fixture
def place(template, tmp_path) -> Path:
    place = tmp_path / "place"
    shutil.copytree(template, place)
    for table in [*place.rglob("*.scp")]:
        table.write_text(table.read_text().replace(str(template), str(place)))
    return place


# The table


@dataclass(frozen=True)
class Fault:
    """A call that must be refused by one line, and leave all files as they are.

    Args:
        call: the step and its words.
        says: what the line must hold.
        damage: lines of bash, run in the place before.
    """

    call: str
    says: str
    damage: str = ""

    def __str__(self) -> str:
        return f"{self.damage} | {self.call}" if self.damage else self.call


OPTIONS = [
    Fault("make_fbank --nj 0 data", "--nj takes an integer 1 to 9999, not '0'"),
    Fault("make_fbank --nj -1 data", "--nj takes an integer 1 to 9999, not '-1'"),
    Fault("make_fbank --nj 1e2 data", "--nj takes an integer"),
    Fault("make_fbank --nj 08 data", "--nj takes an integer"),
    Fault("make_fbank --nj 99999999999999999999 data", "--nj takes an integer"),
    Fault("make_fbank --nj '2;touch oops' data", "--nj takes an integer"),
    Fault("make_fbank --nj '' data", "--nj takes an integer"),
    Fault("make_fbank --seed -1 data", "--seed takes an integer >= 0, not '-1'"),
    Fault("make_fbank --seed 1.5 data", "--seed takes an integer"),
    Fault("make_fbank --seed nan data", "--seed takes an integer"),
    Fault("make_fbank --max-failed-fraction nan data", "takes a number 0 to 1, not 'nan'"),
    Fault("make_fbank --max-failed-fraction inf data", "takes a number 0 to 1"),
    Fault("make_fbank --max-failed-fraction 1.1 data", "takes a number 0 to 1"),
    Fault("make_fbank --max-failed-fraction=-0.1 data", "takes a number 0 to 1"),
    Fault("make_fbank --max-failed-fraction 0,5 data", "takes a number 0 to 1"),
    Fault(
        """make_fbank --max-failed-fraction 'system("touch oops")' data""", "takes a number 0 to 1"
    ),
    Fault("make_fbank --overwrite yes data", "--overwrite takes true or false, not 'yes'"),
    Fault("make_fbank --cmd '' data", "--cmd is empty"),
    Fault("make_fbank --no-such 1 data", "unknown option --no-such"),
    Fault("make_fbank --PATH /tmp data", "unknown option --PATH"),
    Fault("make_fbank --nj", "--nj needs a value"),
    Fault("cluster --metric cosin emb out", "--metric takes cosine or euclidean or cityblock"),
    Fault("cluster --metric 'cosine|euclidean' emb out", "--metric takes cosine or"),
    Fault("cluster --cluster-algorithm hdbscan emb out", "takes HDBSCAN or DBSCAN or kmeans"),
    Fault("cluster --dbscan-eps 0 emb out", "--dbscan-eps takes a number > 0, not '0'"),
    Fault("cluster --dbscan-eps nan emb out", "--dbscan-eps takes a number > 0"),
    Fault("cluster --dbscan-eps 1e999 emb out", "--dbscan-eps takes a number > 0"),
    Fault("cluster --cluster-selection-epsilon inf emb out", "takes a number >= 0, not 'inf'"),
    Fault("cluster --cluster-selection-epsilon -1 emb out", "takes a number >= 0"),
    Fault("cluster --min-cluster-size 1 emb out", "takes an integer >= 2, not '1'"),
    Fault("cluster --min-samples 0 emb out", "takes an integer >= 1"),
    Fault("cluster --n-clusters 0 emb out", "takes an integer >= 1"),
    Fault("cluster --half-index -2 emb out", "takes an integer >= -1"),
    Fault("cluster --outliers drop emb out", "takes own or nearest or leave-out"),
    Fault("cluster_grid --min-samples 1,0 emb out", "takes integers >= 1, not '1,0'"),
    Fault("cluster_grid --min-cluster-size 3,,4 emb out", "takes integers >= 2"),
    Fault("assign_clusters --min-probability 2 emb clusters out", "takes a number 0 to 1"),
    Fault("evaluate --max-spks x emb gold out", "--max-spks takes an integer >= -1"),
    Fault("import_corpus --join-seconds -1 data out", "takes a number 0 to 86400, not '-1'"),
    Fault("augment --copies -1 data out", "takes an integer 0 to 99"),
    Fault("augment --copies 0 data out", "there is nothing to make"),
    Fault("extract --period 0 feats model out", "--period takes an integer >= 1"),
    Fault(
        "extract --average mean feats model out", "takes none or running or utterance or speaker"
    ),
    Fault("train --num-steps 0 feats out", "--num-steps takes an integer >= 1"),
    Fault("train --max-minutes 0 feats out", "--max-minutes takes a number > 0"),
    Fault('train --train-opts "--fc-size \'16" feats out', "a quote is missing"),
    Fault("../run --rounds -2", "--rounds takes an integer >= -1"),
    Fault("../run --stage 9", "--stage takes an integer 0 to 8"),
    Fault("../run --max-minutes 0", "--max-minutes takes a number > 0"),
    Fault(
        "../run --corpus data --eval-corpus feats:0", "--eval-corpus takes a number > 0, not '0'"
    ),
    Fault("../run --corpus data --eval-corpus feats:1.2.3", "--eval-corpus takes a number > 0"),
    Fault("../run --corpus data --eval-corpus feats:nan", "--eval-corpus takes a number > 0"),
]

PLACES = [
    Fault("import_corpus data data", "data/: this is an input, data; give another output"),
    Fault("import_corpus --overwrite true data data", "this is an input"),
    Fault("import_corpus data ./data/../data", "this is an input"),
    Fault("import_corpus data link", "this is an input", "ln -s data link"),
    Fault("import_corpus --overwrite true data .", "the input data lies in it"),
    Fault("import_corpus folder folder/new", "it lies in the input folder"),
    Fault("import_corpus folder link/new", "it lies in the input folder", "ln -s folder link"),
    Fault("perturb_speed --overwrite true data data", "this is an input"),
    Fault("perturb_speed data data/sp", "it lies in the input data"),
    Fault("augment --overwrite true data data", "this is an input"),
    Fault("make_clustered_data_dir --overwrite true data clusters data", "this is an input"),
    Fault("make_clustered_data_dir --overwrite true data clusters clusters", "this is an input"),
    Fault("cluster --overwrite true emb emb", "this is an input"),
    Fault("assign_clusters --overwrite true emb clusters clusters", "this is an input"),
    Fault("extract feats model model", "this is an input"),
    Fault("extract --overwrite true feats model model", "this is an input"),
    Fault("extract feats model feats", "this is an input"),
    Fault("embed_utterances emb/embedding.scp model emb", "emb/embedding.scp: an input and an out"),
    Fault("embed_utterances feats model model/emb", "it lies in the input model"),
    Fault("evaluate emb gold .", "the input emb lies in it"),
    Fault("train --overwrite true feats feats", "this is an input"),
    Fault("../run --corpus exp/x --dir exp/x", "this is an input", "mkdir exp; cp -r data exp/x"),
    Fault("../run --corpus exp/x/data/y --dir exp/x --overwrite true", "lies in it",
          "mkdir -p exp/x/data; cp -r data exp/x/data/y"),
    Fault("../run --corpus folder --dir folder/exp", "it lies in the input"),
    Fault("../run --corpus data --eval-corpus exp/d --dir exp", "lies in it",
          "mkdir exp; cp -r data exp/d"),
]  # fmt: skip

NOT_OURS = [
    Fault("cluster emb out", "out/utt2spk is there already, and was not made by this step",
          "mkdir out; echo precious > out/utt2spk"),
    Fault("cluster --overwrite true emb out", "out/utt2spk is there already",
          "mkdir out; echo precious > out/utt2spk"),
    Fault("evaluate emb gold clusters", "clusters/scores.json is there already",
          "echo precious > clusters/scores.json"),
    Fault("extract feats model out", "out/final.ie.id is there already",
          "mkdir out; echo precious > out/final.ie.id"),
    Fault("extract --nj 3 feats model out", "out/ivector_online.3.ark is there already",
          "mkdir out; echo precious > out/ivector_online.3.ark"),
    Fault("embed_utterances feats model out", "out/embedding.ark is there already",
          "mkdir out; echo precious > out/embedding.ark"),
    Fault("make_fbank data log fbank", "fbank/raw_fbank_data.2.ark is there already",
          "mkdir fbank; echo precious > fbank/raw_fbank_data.2.ark"),
    Fault("make_fbank --overwrite true data", "data/feats.scp is there already",
          "echo precious > data/feats.scp"),
    Fault("import_corpus --overwrite true data out", "out is there already",
          "mkdir out; echo precious > out/notes"),
    Fault("perturb_speed --overwrite true data out", "out is there already",
          "mkdir out; echo precious > out/notes"),
    Fault("augment data out", "out/text is there already", "mkdir out; echo precious > out/text"),
    Fault("make_clustered_data_dir data clusters out", "out/wav.scp is there already",
          "mkdir out; echo precious > out/wav.scp"),
    Fault("train --overwrite true feats out", "out/config.yaml is there already",
          "mkdir out; echo precious > out/config.yaml"),
]  # fmt: skip

INPUTS = [
    Fault("make_fbank none", "none/wav.scp: no such file"),
    Fault("make_fbank data", "data/wav.scp: the file is empty", ": > data/wav.scp"),
    Fault("make_fbank data", "data/wav.scp: is no regular file",
          "rm data/wav.scp; mkfifo data/wav.scp"),
    Fault("make_fbank data", "data/wav.scp: a directory, where a file",
          "rm data/wav.scp; mkdir data/wav.scp"),
    Fault("import_corpus none out", "none: no such directory"),
    Fault("cluster none out", "none: no embedding.scp or ivector_online.scp"),
    Fault("cluster emb gold/out", "Not a directory; give another directory"),
    Fault("../run --corpus data --dir gold/out", "Not a directory; give another --dir"),
    Fault("extract none model out", "none: no such file, or empty"),
    Fault("extract feats none out", "none/final.ie.id: no such file"),
    Fault("train --config none.yaml feats out", "none.yaml: no such file"),
    Fault("perturb_speed data out", "'sp0.9-a-1' would be the name of a copy, too",
          "sed -i 's/^b-1 /sp0.9-a-1 /' data/wav.scp data/utt2spk"),
    Fault("make_clustered_data_dir data clusters out", "would both become utterance 'a-b-c'",
          "printf 'b-c x\\nc x\\n' > data/utt2spk; printf 'b-c x\\nc x\\n' > data/wav.scp;"
          "printf 'b-c a\\nc a-b\\n' > clusters/utt2spk"),
    Fault("import_corpus --join-seconds 1 data out", "would both become file",
          "sed -i 's/^\\(a-[12]\\) .*/\\1 x\\/y/; s/^b-1 .*/b-1 x-y/' data/utt2spk"),
    Fault("../run --corpus a/x --eval-corpus b/x", "two corpora are called 'x'"),
    Fault("../run --corpus x --eval-corpus x_clustered", "rename its folder"),
    Fault("../run --config none.yaml --corpus data", "none.yaml: no such file"),
]  # fmt: skip


@pytest.mark.parametrize("fault", [*OPTIONS, *PLACES, *NOT_OURS, *INPUTS], ids=str)
def test_refused(fault, place):
    if fault.damage:
        subprocess.run(["bash", "-ec", fault.damage], cwd=place, check=True)
    before = files_of(place)
    name, _, words = fault.call.partition(" ")
    command = f'"{STEPS}/{name}.sh" {words}'
    result = run("timeout", SLOW, "bash", "-c", command, cwd=place, KALDI_ROOT="")
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stderr.startswith("ERROR: ")
    assert result.stderr.count("\n") == 1
    assert fault.says in result.stderr
    assert "Traceback" not in result.stderr
    assert files_of(place) == before
    assert not (place / "oops").exists()


def test_every_number_has_a_range():
    for script in [ROOT / "run.sh", *STEPS.glob("*.sh")]:
        listed = run_bash(f"bash -c '. \"{ROOT}/path.sh\"; list_options' {script}").stdout
        for line in listed.splitlines():
            name, default, comment = line.split("\t")
            number = default.replace(".", "").lstrip("-").isdigit()
            if number:
                assert "[integer" in comment or "[number" in comment, f"{script.name} --{name}"


def test_help_has_whole_sentences():
    text = " ".join(run(ROOT / "run.sh", "--help").stdout.split())
    assert (
        "joins short utterances of a speaker (spoken digits, say) into some of about 3 seconds"
        in text
    )
    text = " ".join(run(STEPS / "extract.sh", "--help").stdout.split())
    assert "cut speakers into some of so many utterances [integer >= -1]" in text


# Names


@pytest.mark.parametrize("name", [*HOSTILE, "ümläut", "a\tb", "a=b"])
def test_folders_of_any_name(name, place):
    place = place.rename(place.with_name(name))
    write_audio(place / "data", ["a-1", "a-2", "b-1"])  # its wav.scp has the new name
    done("make_fbank", "--nj", 2, place / "data", cwd=place, KALDI_ROOT="")
    assert list(read_table(place / "data/feats.scp")) == ["a-1", "a-2", "b-1"]
    assert len(dict(iterate_arrays(place / "data/feats.scp"))) == 3
    done("perturb_speed", place / "data", place / "sp", cwd=place, KALDI_ROOT="")
    assert len(read_table(place / "sp/wav.scp")) == 9
    assert not list(place.parent.rglob("oops"))


@pytest.mark.parametrize("name", ["JOB", "myJOBs", "JOB.d"])
def test_a_folder_that_kaldi_would_rename_is_refused(name, place):
    (place / "data").rename(place / name)
    result = step("make_fbank", name, cwd=place, KALDI_ROOT="")
    assert result.returncode == 1
    assert "JOB stands for a job's number in the commands of jobs; rename this" in result.stderr


WORDS = [
    "plain",
    *HOSTILE,
    "",
    "back\\slash",
    "new\nline",
    "*",
    "~",
    "a=b",
    "#",
    "tab\tand space",
    "x!y",
]


@pytest.mark.parametrize("runner", ["run_local.py", "run.pl"])
def test_words_reach_jobs_as_they_are(runner, tmp_path, request):
    root = str(request.getfixturevalue("kaldi")) if runner == "run.pl" else ""
    write_script(tmp_path / "show.py", "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n")
    script = f'cmd={runner}; run_jobs JOB=1:2 log/x.JOB.log ./show.py "$@"'
    head = f'set -euo pipefail\n. "{ROOT}/path.sh"\n{script}'
    result = run("bash", "-c", head, "bash", *WORDS, "x.JOB.scp", cwd=tmp_path, KALDI_ROOT=root)
    assert result.returncode == 0, result.stderr
    for job in (1, 2):
        shown = (tmp_path / f"log/x.{job}.log").read_text().splitlines()
        assert repr([*WORDS, f"x.{job}.scp"]) in shown
    assert not (tmp_path / "oops").exists()


@pytest.mark.parametrize("name", ["a b", "a;touch oops", "$(touch oops)", "(a)"])
def test_logs_that_kaldis_runners_cannot_write_are_refused(name, tmp_path, kaldi):
    script = 'cmd=run.pl; run_jobs "$1/x.log" true'
    head = f'set -euo pipefail\n. "{ROOT}/path.sh"\n{script}'
    result = run("bash", "-c", head, "bash", name, cwd=tmp_path, KALDI_ROOT=str(kaldi))
    assert result.returncode == 1
    assert f"{name}/x.log: run.pl cannot write to a file of such a name" in result.stderr
    assert not (tmp_path / "oops").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--a 1\n--b 2", ["--a", "1", "--b", "2"]),
        ("--a 'x y'", ["--a", "x y"]),
        ("", []),
        ("\n", []),
    ],
)
def test_options_of_several_lines_and_quotes(option, words, tmp_path):
    head = f'set -eu\n. "{ROOT}/path.sh"\nsplit_words all "$1"; [ ${{#all[@]}} -eq 0 ] || '
    result = run("bash", "-c", head + 'printf "<%s>" "${all[@]}"', "bash", option, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "".join(f"<{word}>" for word in words))


def test_training_gets_all_lines_of_its_options(place):
    write_script(place / "show", '#!/bin/sh\necho "$@" > shown\nexit 1\n')
    options = "--fc-size 16\n--batch-size 8"
    step("train", "--cmd", place / "show", "--train-opts", options, "feats", "out", cwd=place)
    assert "--fc-size 16 --batch-size 8" in (place / "shown").read_text()


# What stands behind inputs and outputs


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
    assert fbank(place).returncode == 0
    os.utime(place / "data/audio/0.wav", (1, 1))
    assert "wav.scp is another one now" in fbank(place).stderr


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


# Overwriting


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


def test_importing_again_keeps_what_others_put_there(place):
    done("import_corpus", "folder", "out", cwd=place)
    (place / "out/notes").write_text("precious\n")
    (place / "folder/0.wav").rename(place / "folder/zero.wav")
    assert "made otherwise" in step("import_corpus", "folder", "out", cwd=place).stderr
    done("import_corpus", "--overwrite", "true", "folder", "out", cwd=place)
    assert list(read_table(place / "out/wav.scp")) == ["1", "2", "zero"]
    assert (place / "out/notes").exists()


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


# Locks and what is left over


def test_two_calls_share_the_work_of_one(place):
    command = [STEPS / "make_fbank.sh", "--nj", "2", "data"]
    environment = {**os.environ, "KALDI_ROOT": ""}
    both = [subprocess.Popen(command, cwd=place, env=environment) for _ in range(2)]
    assert [process.wait(SLOW) for process in both] == [0, 0]
    assert list(read_table(place / "data/feats.scp")) == ["a-1", "a-2", "b-1"]


def working_step(place: Path) -> tuple[subprocess.Popen, Path]:
    """A make_fbank.sh at work on a pipe that does not end, and the file of the pipe's number."""
    pid = place / "pid"
    write_table(place / "data/wav.scp", {"a-1": f"echo $$ > {pid}; sleep 1000; true |"})
    process = subprocess.Popen(
        [STEPS / "make_fbank.sh", "data"],
        cwd=place,
        env={**os.environ, "KALDI_ROOT": ""},
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert wait_until(lambda: pid.exists() and pid.read_text().strip())
    return process, pid


def test_a_second_call_says_who_works_there(place):
    process, _ = working_step(place)
    words = ["--overwrite", "true", "data"]
    result = step("make_fbank", *words, cwd=place, KALDI_ROOT="", UNSPEECH_LOCK_SECONDS="0.2")
    process.kill()
    process.wait()
    assert result.returncode == 1
    assert f"make_fbank.sh, process {process.pid} on " in result.stderr
    assert "wait for it, or give another directory" in result.stderr


def processes_of(place: Path) -> list[int]:
    """Those that are at work in a folder, by their working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                Path(os.readlink(process / "cwd")) == place
                and "State:\tZ" not in (process / "status").read_text()
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("root", ["", "kaldi"])
def test_pipes_end_with_a_killed_step(place, number, root, request):
    if root and number != signal.SIGKILL:
        pytest.skip("one signal is enough for Kaldi's runner")
    process, _ = working_step(place)
    assert len(processes_of(place)) > 3
    if number == signal.SIGINT:  # a terminal sends it to the whole group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(SLOW)
    assert wait_until(lambda: not processes_of(place)), processes_of(place)
    assert not (place / "data/feats.scp").exists()


def test_parts_of_files_are_removed(place):
    parts = [place / "data" / name for name in (".feats.scp.x7.part", "log/.y.part")]
    parts.append(place / "fbank/.raw_fbank_data.1.ark.abc.part")
    other = place / "data/other/.y.part"  # in a folder that has a lock of its own
    for part in [*parts, other]:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    (place / "data/other/.lock").touch()
    done("make_fbank", "data", "data/log", "fbank", cwd=place, KALDI_ROOT="")
    assert not [part for part in parts if part.exists()]
    assert other.exists()


# Archives as input


@pytest.mark.parametrize("kind", ["ark", "ark.gz", "text"])
def test_archives_are_split_as_tables_are(kind, place, monkeypatch):
    monkeypatch.chdir(place)
    expected = dict(iterate_arrays(place / "feats/feats.scp"))
    archive = place / f"x.{kind.replace('text', 'ark')}"
    with ArkWriter(place / "y.ark", text=kind == "text") as writer:
        for name, matrix in expected.items():
            writer.write(name, matrix)
    content = (place / "y.ark").read_bytes()
    archive.write_bytes(gzip.compress(content) if kind == "ark.gz" else content)
    script = (
        f'cd "{place}"; mkdir split; scp=$(scp_of {archive.name} split); split_scp "$scp" 2 split'
    )
    result = run_bash(script)
    assert (result.returncode, result.stdout) == (0, "2\n"), result.stderr
    parts = [place / f"split/{archive.name}.{job}.scp" for job in (1, 2)]
    found = {u: m for part in parts for u, m in iterate_arrays(part)}
    assert list(found) == list(expected)
    assert all(np.allclose(found[u], expected[u], rtol=1e-5) for u in expected)


def test_extraction_from_an_archive(place, tiny_data, tiny_model, monkeypatch):
    monkeypatch.chdir(place)
    archive = place / "x.ark.gz"
    archive.write_bytes(gzip.compress((tiny_data / "feats.ark").read_bytes()))
    done("extract", "--nj", 2, archive, tiny_model, "of_archive", cwd=place, KALDI_ROOT="")
    done("extract", tiny_data, tiny_model, "of_data", cwd=place, KALDI_ROOT="")
    found = dict(iterate_arrays("of_archive/ivector_online.scp"))
    for name, rows in iterate_arrays("of_data/ivector_online.scp"):
        np.testing.assert_array_equal(found.pop(name), rows)
    assert not found
    assert not list(Path("of_archive/split").glob("*.ark"))


# The environment


def test_a_step_of_a_fresh_clone_says_what_to_run(place):
    clone = place / "clone"
    ignored = shutil.ignore_patterns(".git", ".venv*", "exp", "tests", ".*_cache")
    shutil.copytree(ROOT, clone, ignore=ignored)
    python = subprocess.run(["which", "python3"], capture_output=True, text=True, check=True)
    write_script(place / "bin/python3", f'#!/bin/sh\nexec {python.stdout.strip()} -S "$@"\n')
    words = [clone / "steps_unspeech/make_fbank.sh", "data"]
    environment = {"PATH": f"{place}/bin:/usr/bin:/bin", "KALDI_ROOT": "", "PYTHONPATH": ""}
    result = run(*words, cwd=place, **environment)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"set up .venv once by {clone}/steps_unspeech/lib/setup_venv.sh" in result.stderr


FAKE_SLURM = {
    "sbatch": "cat > /dev/null; echo 7",
    "squeue": 'case "$*" in *--jobs*) echo "1 COMPLETING" ;; esac',
    "scancel": "true",
}


def test_a_job_that_slurm_cannot_clear_away_is_given_up(tmp_path):
    for name, line in FAKE_SLURM.items():
        write_script(tmp_path / f"bin/{name}", f"#!/bin/sh\n{line}\n")
    script = (STEPS / "lib/run_slurm.py").read_text().replace("STUCK = 600.0", "STUCK = 1.0")
    shutil.copytree(STEPS / "lib", tmp_path / "steps_unspeech/lib")
    (tmp_path / "steps_unspeech/lib/run_slurm.py").write_text(script)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    command = [tmp_path / "steps_unspeech/lib/run_slurm.py", "JOB=1:1", "log/x.JOB.log", "true"]
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}/python"}
    result = run("timeout", SLOW, *command, cwd=tmp_path, **environment)
    assert result.returncode == 1
    assert "did not come to its end: COMPLETING" in (tmp_path / "log/x.1.log").read_text()
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\necho 7 test x CG\n")
    result = run("timeout", SLOW, *command, cwd=tmp_path, **environment)
    assert result.returncode == 1
    assert "a job of an earlier call" in result.stderr
    assert "cannot be cancelled" in result.stderr


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b"])
def test_files_of_utterances_stay_in_their_folder(name, tmp_path):
    from unspeech.cli.errors import UnspeechError
    from unspeech.embedding.outputs import write_zerospeech
    from unspeech.embedding.rows import RowOptions
    from unspeech.network.config_files import make_config

    config = make_config({}, "test")
    with pytest.raises(UnspeechError, match="a file cannot have its name"):
        write_zerospeech(tmp_path / "a/b/c", name, np.zeros((2, 3)), RowOptions(), config)
    assert not list(tmp_path.iterdir())


def test_copies_do_not_share_a_file(place):
    for name in ("wav.scp", "utt2spk"):
        text = (place / "data" / name).read_text()
        (place / "data" / name).write_text(text.replace("a-1 ", "b/1 ", 1))
    result = step("augment", "data", "out", cwd=place, KALDI_ROOT="")
    assert result.returncode == 1
    assert "'b/1'" in result.stderr.replace("aug1-", "")
    assert "would both become file 'aug1-b-1.wav'" in result.stderr
    assert not (place / "out/audio").exists()


def test_settings_are_readable(place):
    """A state file is a table, also with hostile values."""
    done("import_corpus", "data", "out", cwd=place)
    state = (place / ".out.made_from").read_text()
    settings = yaml.safe_load("\n".join(line.replace(" ", ": ", 1) for line in state.splitlines()))
    assert settings["output:1"] == "out"
    assert settings["features"] is True
