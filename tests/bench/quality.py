"""How well embeddings tell speakers apart that they were not trained on, model beside model.

    PYTHONPATH=python python3 tests/bench/quality.py --corpora DIR --dir /tmp/quality
    PYTHONPATH=python python3 tests/bench/quality.py … --rows vgg16,vgg16big --seeds 1,2
    PYTHONPATH=python python3 tests/bench/quality.py … --rows mine --config exp/mine.yaml
    PYTHONPATH=python python3 tests/bench/quality.py … --speechocean762 DIR --train voices+so762

Trains on the corpus `voices` without its labels; with `--train voices+so762` on that and the
training part of SpeechOcean762. Scores all pairs and a clustering of `emodb`, of `fsdd`, whose
digits are joined to 3 s, and of the test part of SpeechOcean762 where --speechocean762 names its
folder. Settings may be chosen by `emodb` and, with `--score so762_train`, by SpeechOcean762's
training part.

Rows: `fbank`, the mean of FBANK; `resemblyzer`, a public encoder trained with labels, in an
environment of its own in --cache; `mean_deviation`, `statistics100` and `statistics200`, what
conf/statistics.yaml (`statistics`) is with less pooled or with fewer directions; `vgg16` and
`vgg16big`, the paper's model; one for each --config. A solved head is scored as it is (on the mean
of the scored corpus), adapted to it, and after rounds of clustering; other vectors, those of the
head that a network was trained with among them (`own head`), as they are and centred on that mean.
A network pools a corpus once for all stages, and adapt.sh once more for the rounds.

Every result is a line of JSON in <dir>/results.jsonl, and is not measured again; what was killed
resumes where it left off. `ari` counts the speakers that cluster.sh gives, `ari_alone` each outlier
as one. `train_seconds` is the time of train.sh, features being there, since it was last started;
`load` how many processes wanted the processors. The training of a model without a network has
nothing random: its seeds are those of clustering. At the end the tables of all results are printed.

Longer than other files, as one class takes a row from its corpora to its line of the table.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from unspeech.audio.utterances import DataAudio
from unspeech.clustering.directory import read_clusters, read_outliers
from unspeech.clustering.scores import clustering_scores
from unspeech.embedding.solving import stored_arrays
from unspeech.evaluation.scores import score_trials, verification_scores
from unspeech.files.atomic import make_directory
from unspeech.files.settings import read_yaml, write_yaml
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import read_table, write_table
from unspeech.kaldi.vectors import load_embeddings
from unspeech.network.config_files import make_config
from unspeech.network.model_dir import write_id

ROOT = Path(__file__).resolve().parents[2]
JOINED = {"fsdd": "3"}  # utterances of a speaker are joined to so many seconds
PARTS = {"so762_train": "train", "so762_test": "test"}  # of SpeechOcean762
BASELINES = ("fbank", "resemblyzer")
STAGES = {  # of a solved head: what adapt.sh solves it with; None: all that adapt.sh does
    "as it is": ("--weight", "0", "--embedding-size", "0"),
    "adapted": ("--weight", "1.5", "--embedding-size", "100"),
    "rounds": None,
}
FIGURES = ("eer", "min_dcf", "nmi", "ari", "ari_alone")
PAPER = {  # the quickest settings of the paper's recipe
    "embedding_transformation": "Vgg16",
    "normalize_input": True,
    "window_length": 64,
    "window_neg_length": 64,
    "fc_size": 512,
    "embedding_size": 100,
    "learn_rate": 3.0e-4,
    "steps_per_checkpoint": 50,
}
SOLVED = "--solve-head true"
ENCODER = ["torch==2.13.0", "librosa==0.11.0", "webrtcvad-wheels==2.0.14.post1"]
EMBED = """
import sys, numpy as np
from resemblyzer import VoiceEncoder, preprocess_wav
encoder = VoiceEncoder("cpu", verbose=False)
audio = np.load(sys.argv[1])
embed = lambda samples: encoder.embed_utterance(preprocess_wav(samples, 16000))
np.savez(sys.argv[2], **{utterance: embed(audio[utterance]) for utterance in audio})
"""


class NotAvailable(Exception):  # noqa: N818
    """A row that this machine cannot measure; says why."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What to train."""

    config: Path
    settings: str = ""  # over those of the config
    options: tuple[str, ...] = ()  # more of train.sh

    @property
    def solved(self) -> bool:
        """Whether it ends with a solved head."""
        return SOLVED in self.settings or bool(read_yaml(self.config).get("solve_head"))


class Bench:
    """The corpora, a folder for everything, and the results so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.dir = options, options.dir
        self.results_file = self.dir / "results.jsonl"

    def step(self, script: str, *arguments) -> None:
        command = [str(word) for word in (ROOT / "steps_unspeech" / script, *arguments)]
        print("+", *command, file=sys.stderr, flush=True)
        subprocess.run(command, check=True, stdout=sys.stderr)

    def program(self, name: str, *arguments) -> None:
        words = [sys.executable, "-m", f"unspeech.{name}", *map(str, arguments)]
        print("+", *words, file=sys.stderr, flush=True)
        subprocess.run(words, check=True, stdout=sys.stderr)

    def data(self, name: str) -> Path:
        """The data directory of a corpus, or of several with + between, with features."""
        data = self.dir / "data" / name
        if "+" in name:
            parts = [self.data(part) for part in name.replace("so762", "so762_train").split("+")]
            make_directory(data)
            for table in ("wav.scp", "utt2spk", "utt2num_frames", "feats.scp"):
                lines = {k: v for part in parts for k, v in read_table(part / table).items()}
                write_table(data / table, dict(sorted(lines.items())))
            return data
        source = self.options.corpora / name
        if name in PARTS:
            source = self.part_of_speechocean762(PARTS[name])
        self.step("import_corpus.sh", "--join-seconds", JOINED.get(name, "0"), source, data)
        self.step("make_fbank.sh", "--nj", "2", data)
        return data

    def part_of_speechocean762(self, part: str) -> Path:
        """A data directory of it; the published one has paths relative to the folder above."""
        published, made = self.options.speechocean762, self.dir / "speechocean762" / part
        if not (made / "wav.scp").exists():
            audio = read_table(published / part / "wav.scp")
            make_directory(made)
            write_table(made / "utt2spk", read_table(published / part / "utt2spk"))
            write_table(made / "wav.scp", {u: str(published / path) for u, path in audio.items()})
        return made

    def results(self) -> list[dict]:
        if not self.results_file.exists():
            return []
        return [json.loads(line) for line in self.results_file.read_text().splitlines()]

    def measure(self, key: dict, vectors_of: Callable[[Path, Path], Path], about=dict) -> None:
        """Score the vectors of every corpus, unless that was done.

        Args:
            key: what makes it this result and no other.
            vectors_of: makes those of a data directory, in a folder.
            about: makes more to keep with the result, afterwards.
        Raises:
            NotAvailable: when it cannot be done here.
        """
        for corpus in self.options.score:
            own = key | {"corpus": corpus}
            if any(own.items() <= result.items() for result in self.results()):
                continue
            name = "-".join(str(value) for value in own.values()).replace(" ", "_")
            out = self.dir / "rows" / name
            data = self.data(corpus)
            scores = self.scores(vectors_of(data, out), data / "utt2spk", out / "clusters", key)
            result = own | scores | about() | {"load": round(os.getloadavg()[0], 1)}
            with self.results_file.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(json.dumps(result), flush=True)

    def scores(self, vectors: Path, utt2spk: Path, clusters: Path, key: dict) -> dict:
        """Scores of vectors and of their clustering with the defaults."""
        self.step("cluster.sh", "--seed", key.get("seed", 1), vectors, clusters)
        utterances, matrix = load_embeddings(vectors)
        speakers, found = read_table(utt2spk), read_clusters(clusters)[0]
        gold = np.array([speakers[utterance] for utterance in utterances])
        joined = np.array([found[utterance] for utterance in utterances])
        outliers = read_outliers(clusters)
        alone = np.array([u if u in outliers else found[u] for u in utterances])
        scores = verification_scores(score_trials(matrix, gold)) | clustering_scores(gold, joined)
        scores |= {"ari_alone": clustering_scores(gold, alone)["ari"], "outliers": len(outliers)}
        return {name: round(scores[name], 4) for name in (*FIGURES, "clusters", "outliers")}

    def trained(self, row: str, recipe: Recipe, seed: int) -> None:
        """Measure a recipe with one seed."""
        if not recipe.config.exists():
            raise NotAvailable(f"{recipe.config}: no such file")
        settings = (
            recipe.config.read_bytes() + " ".join((recipe.settings, *recipe.options)).encode()
        )
        key = {
            "row": row,
            "train": self.options.train,
            "seed": seed,
            "minutes": self.options.minutes,
            "settings": hashlib.md5(settings, usedforsecurity=False).hexdigest()[:8],
        }
        home = self.dir / "models" / "-".join(str(value) for value in key.values())

        def train() -> Path:
            if not (home / "seconds").exists():
                options = ["--config", recipe.config, "--seed", seed, *recipe.options]
                options += ["--max-minutes", self.options.minutes]
                options += ["--train-opts", recipe.settings]
                data, began = self.data(self.options.train), time.monotonic()
                self.step("train.sh", *options, data, home / "model")
                (home / "seconds").write_text(f"{time.monotonic() - began:.1f}")
            return home / "model"

        def own_head(data: Path, out: Path) -> Path:
            place = home / "own_head" / data.name
            model = with_own_head(train(), place / "model")
            self.step("embed_utterances.sh", data, model, place / "embeddings")
            return place / "embeddings"

        def solved_head(data: Path, out: Path, solve: tuple[str, ...] | None) -> Path:
            model, adapted = train(), out / "model"
            pooled = self.pooled(data, model, home / "pooled" / data.name)
            if solve is None:
                self.step("adapt.sh", "--seed", seed, data, model, adapted)
            else:
                sums = ("--sums", pooled / "sums.npz")
                self.program("solve", "head", "--model", model, *sums, *solve, "--out", adapted)
            values, ark = ("--values", pooled / "values.scp"), out / "embeddings/embedding.ark"
            self.program("solve", "embed", "--model", adapted, *values, "--ark", ark)
            return ark.parent

        def about() -> dict:
            log = [json.loads(line) for line in (home / "model/train_log.jsonl").open()]
            seconds = float((home / "seconds").read_text())
            return {"steps": log[-1]["step"], "train_seconds": seconds}

        if make_config(read_yaml(recipe.config), recipe.config).has_network:
            self.measure_vectors(key, own_head, about)
        if recipe.solved:
            for stage, solve in STAGES.items():
                solved = partial(solved_head, solve=solve)
                self.measure(key | {"stage": stage}, solved, about)

    def pooled(self, data: Path, model: Path, place: Path) -> Path:
        """Pool utterances as adapt.sh does, once for all stages: a network takes minutes to it."""
        if not (place / "sums.npz").exists():
            feats, contexts = data / "feats.scp", place / "contexts"
            corpus = ("--feats", feats, "--data", data)
            self.program("solve", "contexts", *corpus, "--out", contexts)
            # The utterances of a recording stand together then.
            by_recording = ("--utt2spk", contexts, "--nj", "1", "--out", place)
            self.program("speakers", "--feats", feats, *by_recording)
            corpus = ("--feats", place / "feats.1.scp", "--data", data, "--contexts", contexts)
            made = ("--values", place / "values.ark", "--sums", place / "sums.npz")
            self.program("solve", "sums", "--model", model, *corpus, *made)
        return place

    def measure_vectors(self, key: dict, vectors_of, about=dict) -> None:
        """Score vectors without a solved head, as they are and centred."""
        prefix = "own head, " if "train" in key else ""

        def centred(data: Path, out: Path) -> Path:
            utterances, vectors = load_embeddings(vectors_of(data, out))
            vectors = vectors - vectors.mean(axis=0)
            return write(out / "centred", dict(zip(utterances, vectors, strict=True)))

        self.measure(key | {"stage": f"{prefix}as it is"}, vectors_of, about)
        self.measure(key | {"stage": f"{prefix}centred"}, centred, about)

    def fbank(self, data: Path, out: Path) -> Path:
        return data / "feats.scp"

    def resemblyzer(self, data: Path, out: Path) -> Path:
        python = self.encoder_python()
        place = self.dir / "resemblyzer" / data.name
        if not (place / "embedding.scp").exists():
            with tempfile.TemporaryDirectory() as name:
                audio, made = Path(name, "audio.npz"), Path(name, "made.npz")
                np.savez(audio, **dict(DataAudio(data, 16000).read()))
                subprocess.run([python, "-W", "ignore", "-c", EMBED, audio, made], check=True)
                with np.load(made) as vectors:
                    write(place, dict(vectors))
        return place

    def encoder_python(self) -> Path:
        """Python of the environment with the encoder, which is made if it is not there."""
        home = self.options.cache / "resemblyzer"
        python, complete = home / "bin/python3", home / "complete"
        if not complete.exists():
            print(f"Making {home}", file=sys.stderr, flush=True)
            venv.create(home, clear=True, with_pip=True)
            pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "-q"]
            # Its own requirements name a package that is part of Python and one without wheels.
            for packages in (ENCODER, ["--no-deps", "resemblyzer==0.1.4"]):
                done = subprocess.run([*pip, *packages], stderr=subprocess.PIPE, text=True)
                if done.returncode:
                    raise NotAvailable(f"pip: {done.stderr.strip().splitlines()[-1]}")
            complete.touch()
        return python

    def tables(self) -> str:
        """Means over seeds, a table a corpus and a line a row and stage, as Markdown."""
        parts, lines = ("row", "train", "minutes", "settings", "stage"), []
        results = self.results()
        for corpus in dict.fromkeys(result["corpus"] for result in results):
            lines += ["", f"{corpus}:", ""]
            lines += ["| row | trained on | stage | seeds | minutes | EER % | minDCF | NMI | ARI |"]
            lines += ["|---" * 9 + "|"]
            groups: dict[tuple, list[dict]] = {}
            for result in results:
                if result["corpus"] == corpus:
                    key = tuple(result.get(part, "–") for part in parts)
                    groups.setdefault(key, []).append(result)
            rows = list(dict.fromkeys(row for row, *_ in groups))
            for key in sorted(groups, key=lambda key: rows.index(key[0])):
                (row, train, _, _, stage), group = key, groups[key]
                mean = {figure: np.mean([each[figure] for each in group]) for figure in FIGURES}
                seeds = " ".join(str(each.get("seed", "–")) for each in group)
                minutes = np.mean([each.get("train_seconds", 0) for each in group]) / 60
                cells = [row, train, stage, seeds, f"{minutes:.1f}", f"{mean.pop('eer'):.2f}"]
                del mean["ari_alone"]
                cells += [f"{value:.2f}" for value in mean.values()]
                lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def with_own_head(model: Path, copy: Path) -> Path:
    """A copy of a network whose embeddings are those of the head that it was trained with."""
    if (copy / "final.ie.id").exists():
        return copy
    make_directory(copy)
    shutil.copy(model / "model.weights.h5", copy)
    write_yaml(copy / "config.yaml", read_yaml(model / "config.yaml") | {"solve_head": False})
    write_id(copy, stored_arrays(model))
    return copy


def write(directory: Path, vectors: dict[str, np.ndarray]) -> Path:
    """Write an embedding directory."""
    with ArkWriter(directory / "embedding.ark") as writer:
        for utterance, vector in vectors.items():
            writer.write(utterance, vector)
    return directory


def recipes_of(options: argparse.Namespace) -> dict[str, Recipe]:
    """Rows that are trained, by name."""
    paper, big = options.dir / "vgg16.yaml", ROOT / "conf/unspeech_64.yaml"
    paper.write_text(yaml.safe_dump(PAPER, sort_keys=False))
    statistics = ROOT / "conf/statistics.yaml"
    steps = ("--num-steps", str(options.num_steps))  # the paper's have no schedule
    recipes = {
        "statistics": Recipe(statistics),
        "mean_deviation": Recipe(statistics, "--pooling mean,deviation"),
        "statistics100": Recipe(statistics, "--embedding-size 100"),
        "statistics200": Recipe(statistics, "--embedding-size 200"),
        "vgg16": Recipe(paper, SOLVED, steps),
        "vgg16big": Recipe(big, f"--steps-per-checkpoint 50 {SOLVED}", steps),
    }
    return recipes | {path.stem: Recipe(path.resolve()) for path in options.config}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def words(text: str) -> list[str]:
        return [word for word in text.split(",") if word]

    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "unspeech-bench")
    add = parser.add_argument
    add("--corpora", required=True, type=Path, help="folder with voices, emodb and fsdd")
    add("--speechocean762", type=Path, help="folder of SpeechOcean762, as it is published")
    add("--dir", required=True, type=Path, help="folder for everything")
    add("--rows", type=words, help="which, commas between (all)")
    add("--config", type=Path, action="append", default=[], help="settings of a row; repeatable")
    add("--train", default="voices", choices=["voices", "voices+so762"], help="what to train on")
    add("--score", type=words, help="corpora: emodb,fsdd,so762_test,so762_train (not the last)")
    add("--seeds", type=words, default=["1", "2"], help="commas between (1,2)")
    add("--minutes", type=float, default=15, help="of training at most, each (15)")
    add("--num-steps", type=int, default=1_000_000, help="of vgg16 and vgg16big, if time allows")
    add("--cache", type=Path, default=cache, help="for the encoder, 1.2 GB (%(default)s)")
    options = parser.parse_args()
    ocean = options.speechocean762
    options.score = options.score or ["emodb", "fsdd", *["so762_test"] * bool(ocean)]
    if not ocean and "so762" in options.train + "".join(options.score):
        parser.error("--speechocean762 is missing")
    if ocean:
        options.speechocean762 = ocean.resolve()

    options.dir.mkdir(parents=True, exist_ok=True)
    bench, recipes = Bench(options), recipes_of(options)
    rows = options.rows or [*BASELINES, *recipes]
    unknown = set(rows).difference(BASELINES, recipes)
    if unknown:
        parser.error(f"no rows {', '.join(unknown)}; there are {', '.join([*BASELINES, *recipes])}")
    for row in rows:
        try:
            if row in BASELINES:
                bench.measure_vectors({"row": row}, getattr(bench, row))
                continue
            for seed in options.seeds:
                bench.trained(row, recipes[row], int(seed))
        except NotAvailable as reason:
            print(f"{row}: not available: {reason}", flush=True)
    print(bench.tables())


if __name__ == "__main__":
    main()
