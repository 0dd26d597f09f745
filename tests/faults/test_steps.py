"""What the steps do with hostile and damaged calls: a table of those that they must refuse, and
calls in a row, of which the last must find what the ones before have left."""

import subprocess
from dataclasses import dataclass

import pytest
from helpers.shell import ROOT, STEPS, run, run_bash
from helpers.step_calls import HOSTILE, SLOW, done, files_of, step, write_audio

from unspeech.kaldi.archives import iterate_arrays
from unspeech.kaldi.tables import read_table

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
    assert "split speakers into groups of so many utterances; -1: do not [integer >= -1]" in text


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
