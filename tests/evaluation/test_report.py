"""The report: what it says of whole and of incomplete runs, and that a browser shows it."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from helpers.programs import call, call_fails

from unspeech.evaluation.report import chance_levels, duration
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import read_table, write_table
from unspeech.network.config import Config
from unspeech.network.config_files import write_config

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def write_lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def report(run):
    call("report", "--dir", run, "--out", run / "report.html")
    return (run / "report.html").read_text()


def text_of(page):
    """What a reader sees of it, in one line."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    body = re.sub(r"</t[dh]>", " ", body)
    return " ".join(re.sub(r"<[^>]+>", "", body).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A run directory with everything: training on 'talks', scores of 'digits'."""
    run = tmp_path_factory.mktemp("exp") / "a<b>"
    write_config(run / "model/config.yaml", Config(fc_size=77))
    trained_on = {"data:": "exp/data/talks", "utterances:": 1234, "frames:": 366_000, "md5:": "x"}
    write_table(run / "model/trained_on.yaml", trained_on)
    log = [
        {
            "step": step,
            "seconds": step / 2,
            "loss": 60 / step,
            "accuracy": 0.6,
            "majority_accuracy": 0.5,
            "chance_loss": 0.6931,
            "heldout_majority_accuracy": 0.5,
            "heldout_chance_loss": 0.6931,
            "heldout_loss": 0.5 + abs(step - 200) / 1000,
            "heldout_accuracy": 0.8,
            "pairs_per_second": 4321.0,
            "input_wait": 0.012,
        }
        for step in (100, 200, 300)
    ]
    write_lines(run / "model/train_log.jsonl", log)
    rng = np.random.default_rng(0)
    utt2spk = {f"s{s}-{u}": f"s{s}" for s in range(3) for u in range(4)}
    directions = 3 * rng.normal(size=(3, 8))
    with ArkWriter(run / "embeddings/digits/embedding.ark") as writer:
        for utterance, speaker in utt2spk.items():
            writer.write(utterance, directions[int(speaker[1])] + rng.normal(size=8))
    write_table(run / "data/digits/utt2spk", utt2spk)
    for corpus in ("digits", "talks"):
        clusters = run / "clusters" / corpus
        table = {u: f"c{int(s[1]) // 2}" for u, s in utt2spk.items()} | {"s0-0": "o0"}
        write_table(clusters / "utt2spk", table)
        write_table(clusters / "outliers", {"s0-0": "c0"})
        counts = {"utterances": 12, "clusters": 2, "outliers": 1, "settings": {}}
        (clusters / "clusters.json").write_text(json.dumps(counts))
    call(
        "evaluate", "--embeddings", run / "embeddings/digits", "--utt2spk",
        run / "data/digits/utt2spk", "--clusters", run / "clusters/digits",
        "--out", run / "eval/digits",
    )  # fmt: skip
    stages = [
        ("train", 2, 148.0, "steps_unspeech/train.sh --seed 1 exp/data/talks exp/model"),
        ("cluster digits", 5, 1.5, "steps_unspeech/cluster.sh exp/emb exp/clusters"),
        ("evaluate digits", 6, 3.0, "steps_unspeech/evaluate.sh exp/emb gold exp/eval"),
    ]
    write_lines(
        run / "log/stages.jsonl",
        [
            {"stage": stage, "name": name, "seconds": seconds, "peak_mb": 512, "command": command}
            for name, stage, seconds, command in stages
        ],
    )
    return run


def test_corpora_of_an_earlier_run_are_left_out(whole_run, tmp_path):
    call("report", "--dir", whole_run, "--out", tmp_path / "all.html")
    call("report", "--dir", whole_run, "--out", tmp_path / "some.html", "--corpora", "talks")
    whole, part = (text_of((tmp_path / f"{name}.html").read_text()) for name in ("all", "some"))
    for words in ("cluster digits", "evaluate digits", "digits"):
        assert words in whole
        assert words not in part
    assert "train.sh --seed 1" in part


def test_a_whole_run_is_told_in_words_and_figures(whole_run):
    page = report(whole_run)
    text = text_of(page)
    scores = json.loads((whole_run / "eval/digits/scores.json").read_text())
    for said in (
        "learned to tell voices apart from talks: 1,234 utterances, 1 h 01 min of speech",
        "in 300 steps (2 min 30 s)",
        f"they are wrong in {scores['eer']:.1f} % of cases",
        f"agreement with the true speakers is {scores['ari']:.2f}",
        "Clustering found 2 speakers and left 1 of 12 utterances alone",
        "on talks, the training corpus: no speaker labels were given",
        "at step 200. 0.5000 0.6931",  # the model kept, and chance
        "4,321",
        "steps_unspeech/train.sh --seed 1 exp/data/talks exp/model",
        "steps_unspeech/evaluate.sh exp/emb gold exp/eval",
        "All stages 2 min 32 s 512 MB",
        "fc_size 77 width of the layer before the embedding",
    ):
        assert said in text
    assert "a&lt;b&gt;" in page
    assert page.count("<img ") == 4 + 1 + 2  # digits, talks, training
    assert not re.search(r"https?:|<script|<link rel=.stylesheet|src=.(?!data:)", page)
    assert len(re.findall(r'<img [^>]*alt="[^"]{20,}"', page)) == page.count("<img ")


def test_a_run_on_copies_names_the_training_corpus(whole_run, tmp_path):
    run = shutil.copytree(whole_run, tmp_path / "run")
    trained_on = {"data:": "exp/data/talks_sp", "utterances:": 30, "frames:": 6000, "md5:": "x"}
    write_table(run / "model/trained_on.yaml", trained_on)
    assert "voices apart from talks_sp: 30 utterances" in text_of(report(run)), "only a name"
    (run / "data/talks").mkdir()
    text = text_of(report(run))
    assert "apart from talks and copies of it at other speeds: 30 utterances, 1 min 00 s" in text
    assert "on talks, the training corpus: no speaker labels were given" in text


def test_samples_of_waveforms_are_no_frames(whole_run, tmp_path):
    run = shutil.copytree(whole_run, tmp_path / "run")
    write_config(run / "model/config.yaml", Config(end_to_end=True, sample_rate=16000))
    trained_on = {"data:": "x/talks", "utterances:": 30, "frames:": 16000 * 90, "md5:": "x"}
    write_table(run / "model/trained_on.yaml", trained_on)
    assert "30 utterances, 1 min 30 s of speech" in text_of(report(run))


def test_chance_is_by_the_labels_of_the_scores(whole_run, tmp_path):
    """In a recipe utterances are scored by person; its speakers are parts of a person's speech."""
    run = shutil.copytree(whole_run, tmp_path / "run")
    utt2spk = run / "data/digits/utt2spk"
    utt2spk.rename(run / "data/digits/utt2person")
    write_table(utt2spk, {u: u for u in read_table(run / "clusters/digits/utt2spk")})
    for labels, chance in (("utt2person", "0.273"), ("utt2spk", "0.000")):
        scores = json.loads((run / "eval/digits/scores.json").read_text())
        scores["utt2spk"] = f"exp/data/digits/{labels}"
        (run / "eval/digits/scores.json").write_text(json.dumps(scores))
        precision = text_of(report(run)).partition("that is of one speaker.")[2]
        assert f"chance {chance}" in precision[:30]
    call("evaluate", "--embeddings", run / "embeddings/digits", "--utt2spk",
         run / "data/digits/utt2person", "--out", tmp_path)  # fmt: skip
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["utt2spk"] == str(run / "data/digits/utt2person")


def test_a_run_without_evaluation_says_what_is_missing(whole_run, tmp_path):
    shutil.copytree(whole_run / "model", tmp_path / "model")
    with (tmp_path / "model/train_log.jsonl").open("a") as file:
        file.write('{"step": 400, "sec')  # killed while it was written
    text = text_of(report(tmp_path))
    assert "in 300 steps" in text
    assert "No corpus was clustered or scored in this run." in text
    assert "No stage log" in text


def test_scores_alone_make_a_report_with_their_own_command(whole_run, tmp_path):
    shutil.copytree(whole_run / "eval", tmp_path / "eval")
    text = text_of(report(tmp_path))
    assert "There is no training log in this run" in text
    assert "python3 -m unspeech.evaluate --embeddings" in text
    assert "No model/config.yaml" in text


def test_what_cannot_be_reported_on_is_refused(tmp_path):
    def refusal():
        return call_fails("report", "--dir", tmp_path, "--out", tmp_path / "report.html")

    assert f"{tmp_path}: holds no run" in refusal()
    scores = tmp_path / "eval/digits/scores.json"
    scores.parent.mkdir(parents=True)
    scores.write_text("{")
    assert f"{scores}: not valid JSON" in refusal()
    scores.unlink()
    log = tmp_path / "model/train_log.jsonl"
    log.parent.mkdir()
    log.write_text('no\n{"step": 1}\n')
    assert f"{log}:1: not valid JSON" in refusal()
    assert not (tmp_path / "report.html").exists()


def test_chance_is_that_of_shuffled_utterances():
    rng = np.random.default_rng(0)
    speakers, clusters = np.repeat([0, 1, 2], [5, 7, 3]), np.repeat([0, 1], [6, 9])
    upper = np.triu_indices(15, k=1)
    same_speaker = (speakers[:, None] == speakers)[upper]
    hits = []
    for _ in range(2000):
        shuffled = rng.permutation(clusters)
        same_cluster = (shuffled[:, None] == shuffled)[upper]
        hits.append(np.sum(same_speaker & same_cluster))
    levels = chance_levels(np.bincount(speakers), np.bincount(clusters))
    assert levels["pairwise_precision"] == pytest.approx(np.mean(hits) / (15 + 36), abs=0.01)
    assert levels["pairwise_recall"] == pytest.approx(np.mean(hits) / same_speaker.sum(), abs=0.01)


def test_durations_are_written_for_people():
    said = [duration(seconds).replace("\N{NO-BREAK SPACE}", " ") for seconds in (5.62, 148, 11_130)]
    assert said == ["5.6 s", "2 min 28 s", "3 h 05 min"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_browser_shows_the_page_without_an_error(whole_run, tmp_path):
    """A copy says on the console how many pictures it shows: that line must be the only one."""
    page = report(whole_run)
    script = """<script>addEventListener("load", () => {
      const images = [...document.images];
      const shown = images.filter(image => image.naturalWidth > 0).length;
      const fits = document.documentElement.scrollWidth <= innerWidth;
      console.log(`${shown} pictures of ${images.length}, fits: ${fits}`);
    });</script>"""
    copy = tmp_path / "copy.html"
    copy.write_text(page.replace("</body>", script + "</body>"))
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
    ]  # fmt: skip
    done = subprocess.run(
        [CHROMIUM, *flags, "--window-size=500,900", copy.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert len(console) == 1, done.stderr
    assert "7 pictures of 7, fits: true" in console[0]
