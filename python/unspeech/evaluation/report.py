"""One page that shows a whole run: what was trained, and how well it separates speakers.

The page holds its pictures and asks for no other file. What a run lacks is said on the page.
"""

import base64
import json
import math
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.evaluation import plots
from unspeech.evaluation.report_texts import CLUSTERING, GRADES, PICTURES, PLACES, VERIFICATION
from unspeech.files.settings import read_yaml
from unspeech.files.text import read_json, read_text
from unspeech.kaldi.tables import read_table
from unspeech.network.config import Config

FRAMES_A_SECOND = 100  # of features; of waveforms, "frames" are samples
COPIES = (
    "_sp"  # ends the name of a data directory with copies at other speeds, as in Kaldi's recipes
)


@dataclass
class CorpusResult:
    """What a run says about one corpus; None or empty where it lacks a file."""

    name: str
    trained_on: bool
    scores: dict
    clustering: dict
    pictures: list[dict]
    chance: dict[str, float]
    commands: list[str]

    @property
    def figures(self) -> dict:
        """Scores, and without labels the counts that clustering gives."""
        return self.clustering | self.scores

    @property
    def grade(self) -> str:
        """How well speakers are separated, in words."""
        words = [word for limit, word in GRADES if self.scores["eer"] < limit]
        return words[0] if words else "hardly better than chance"


def read_json_if_any(path: Path) -> dict:
    """A JSON file's content; {} when there is none."""
    return read_json(path) if path.exists() else {}


def read_json_lines(path: Path) -> list[dict]:
    """The lines of a log; one that a kill cut off while it was written is left out."""
    text = read_text(path) if path.exists() else ""
    records = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            records.append(json.loads(line))
            if not isinstance(records[-1], dict):
                raise ValueError("no object")
        except ValueError as error:
            raise UnspeechError(
                f"{path}:{number}: not valid JSON ({error}); remove this line"
            ) from None
    return records


def picture(title: str, caption: str, content: bytes, alt: str, place: str = "") -> dict:
    """A picture for the page, PNG as a data URI; `place` is its class in the page's grid."""
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    return {"title": title, "caption": caption, "uri": uri, "alt": alt, "place": place}


def group_sizes(path: Path) -> np.ndarray:
    """(groups,) utterances of each speaker or cluster of an utt2spk file."""
    return np.unique(list(read_table(path).values()), return_counts=True)[1]


def chance_levels(speakers: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """Expected pairwise figures if utterances were dealt out at random to clusters of these sizes.

    Args:
        speakers: (speakers,) utterances of each.
        clusters: (clusters,) utterances of each.
    """
    pairs = math.comb(int(speakers.sum()), 2)
    of_speaker, of_cluster = (
        sum(math.comb(size, 2) for size in sizes.tolist()) / pairs for sizes in (speakers, clusters)
    )
    both = of_speaker + of_cluster
    return {
        "pairwise_precision": of_speaker,
        "pairwise_recall": of_cluster,
        "pairwise_f1": 2 * of_speaker * of_cluster / both if both else 0.0,
    }


def scored_by(scores: dict, clustering: dict) -> str:
    """Name of the file in the data directory whose speakers the scores are by."""
    labels = scores.get("utt2spk") or clustering.get("settings", {}).get("utt2spk")
    return Path(labels or "utt2spk").name


def corpus_result(run: Path, name: str, trained_on: bool, stages: list[dict]) -> CorpusResult:
    """Gather what a run directory holds about one corpus."""
    clusters, evaluation = run / "clusters" / name, run / "eval" / name
    clustering = read_json_if_any(clusters / "clusters.json")
    scores = read_json_if_any(clusters / "scores.json") | read_json_if_any(
        evaluation / "scores.json"
    )
    result = CorpusResult(name, trained_on, scores, clustering, [], {}, [])
    for stage in ("cluster", "evaluate"):
        of_stage = [s["command"] for s in stages if s["name"] == f"{stage} {name}"]
        made_by = clustering.get("settings", {}) if stage == "cluster" else scores
        result.commands.extend(of_stage or filter(None, [made_by.get("command")]))
    for file, (title, caption) in PICTURES.items():
        if (evaluation / file).exists():
            alt = f"{title}, {name}. {caption}"
            content = (evaluation / file).read_bytes()
            result.pictures.append(picture(title, caption, content, alt, PLACES.get(file, "")))
    if (clusters / "utt2spk").exists():
        sizes, speakers = group_sizes(clusters / "utt2spk"), None
        labels = run / "data" / name / scored_by(scores, clustering)
        if scores and labels.exists():
            speakers = group_sizes(labels)
            result.chance.update(chance_levels(speakers, sizes))
        caption = "Utterances of each cluster, the largest first, without outliers"
        caption += "." if speakers is None else "; the line shows the true speakers' sizes."
        if np.any(sizes > 1):
            content = plots.cluster_sizes(sizes[sizes > 1], speakers)
            alt = f"Sizes of the clusters, {name}. {caption}"
            result.pictures.insert(-1, picture("Sizes of clusters", caption, content, alt))
    return result


def training_pictures(log: list[dict]) -> list[dict]:
    """Curves of loss and accuracy against steps."""
    if not log:
        return []
    # Held-out batches can be smaller, and then easier.
    apart = [r["chance_loss"] for r in log] != [r.get("heldout_chance_loss") for r in log]
    of_heldout = "heldout_" if "heldout_chance_loss" in log[-1] else ""
    title = "chance, held-out" if apart and of_heldout else "chance"
    loss = plots.training_curves(
        log, [("loss", "training"), ("heldout_loss", "held-out recordings"),
              (f"{of_heldout}chance_loss", title)], "loss"
    )  # fmt: skip
    accuracy = plots.training_curves(
        log, [("accuracy", "training"), ("heldout_accuracy", "held-out recordings"),
              (f"{of_heldout}majority_accuracy", title)], "fraction of right answers"
    )  # fmt: skip
    return [
        picture(
            "Loss",
            "What training makes small: how far the answers are off. A held-out loss that rises "
            "while the training loss falls means that longer training does not help.",
            loss,
            "Training and held-out loss against steps.",
        ),
        picture(
            "Accuracy",
            "Fraction of right answers to which windows belong together, beside chance.",
            accuracy,
            "Training and held-out accuracy against steps, and that of chance.",
        ),
    ]


def training_summary(log: list[dict]) -> dict:
    """Figures of the model that was kept: {} without a log."""
    if not log:
        return {}
    last, kept = log[-1], min(log, key=lambda line: line.get("heldout_loss", line["loss"]))
    waits = [line["input_wait"] for line in log if "input_wait" in line]
    return {
        "last": last,
        "kept": kept,
        "pairs_per_second": float(np.median([line["pairs_per_second"] for line in log])),
        "input_wait": float(np.median(waits)) if waits else None,
    }


def settings_table(path: Path) -> list[tuple[str, object, str]]:
    """Name, value and meaning of each setting of a model."""
    meanings = {name: f.metadata["help"] for name, f in Config.__dataclass_fields__.items()}
    values = read_yaml(path) if path.exists() else {}
    return [(name, value, meanings.get(name, "")) for name, value in values.items()]


def duration(seconds: float) -> str:
    """Seconds in words that no line break parts: '5.6 s', '2 min 28 s', '3 h 05 min'."""
    minutes, rest = divmod(round(seconds), 60)
    if seconds < 60:
        words = f"{seconds:.1f} s"
    elif minutes < 60:
        words = f"{minutes} min {rest:02d} s"
    else:
        words = f"{minutes // 60} h {minutes % 60:02d} min"
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def render(run: Path, corpora: list[str] | None = None) -> str:
    """The page of a run directory.

    Args:
        run: the directory.
        corpora: names of the corpora that are told of, since an earlier run there may have had
            others; None: all.
    Raises:
        UnspeechError: when the directory holds nothing of a run, or a file of it cannot be read.
    """
    stages = read_json_lines(run / "log" / "stages.jsonl")
    log = read_json_lines(run / "model" / "train_log.jsonl")
    trained_on = run / "model" / "trained_on.yaml"
    data = read_yaml(trained_on) if trained_on.exists() else {}
    trained = Path(str(data.get("data", ""))).name
    plain = trained.removesuffix(COPIES)
    corpus = plain if (run / "data" / plain).is_dir() else trained
    names = {path.parent.name for path in run.glob("eval/*/scores.json")}
    names |= {path.parent.name for path in run.glob("clusters/*/clusters.json")}
    if corpora:
        names &= set(corpora)
        stages = [s for s in stages if s["name"].partition(" ")[2] in ("", *corpora)]
    if not (stages or log or names):
        raise UnspeechError(f"{run}: holds no run: no stage log, training log, clusters or scores")
    results = [
        corpus_result(run, name, name in (trained, corpus), stages)
        for name in sorted(names, key=lambda name: (name in (trained, corpus), name))
    ]
    summary = training_summary(log)
    settings = settings_table(run / "model" / "config.yaml")
    values = {name: value for name, value, _ in settings}
    rate = values.get("sample_rate") if values.get("end_to_end") else FRAMES_A_SECOND
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    return environment.get_template("report.html.jinja").render(
        name=run.resolve().name,
        data=data,
        corpus=corpus,
        with_copies=trained != corpus,
        seconds=data.get("frames", 0) / rate,
        encoder=values.get("embedding_transformation"),
        results=results,
        verification=VERIFICATION,
        clustering=CLUSTERING,
        training=summary,
        curves=training_pictures(log),
        train_command=next((s["command"] for s in stages if s["name"] == "train"), None),
        stages=stages,
        settings=settings,
    )
