"""How well embeddings tell speakers apart that they were not trained on, recipe beside recipe.

    PYTHONPATH=python python3 tests/bench/quality.py --corpora DIR --dir /tmp/quality
    PYTHONPATH=python python3 tests/bench/quality.py … --rows vgg16,speaker --seeds 1,2 --minutes 15
    PYTHONPATH=python python3 tests/bench/quality.py … --rows mine --config exp/mine.yaml

Trains on the corpus `voices` alone, for the same time each, without its labels. Scores all pairs
and a clustering of `emodb` (settings may be chosen by it) and of `fsdd`, whose digits are joined to
3 s (to be reported only). Rows: without training, `fbank` (mean), `deviation` (mean and deviation
of FBANK) and `mfcc` (of MFCC), the latter two seen against those of `voices`; `vgg16` and
`vgg16big`, the paper's recipe; one for each --config, by its name; `ivectors`, Kaldi's, extracted
elsewhere; `resemblyzer`, a public encoder trained with labels, in an environment of its own in
--cache. A model with a solved head is scored as it is, adapted to the scored corpus, and after
rounds of that.

Every result is a line of JSON in <dir>/results.jsonl, and is not measured again; what was killed
goes on where it was. At the end the table of all results is printed.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from scipy.fft import dct

from unspeech.archives import ArkWriter, iterate_arrays
from unspeech.audio import DataAudio

ROOT = Path(__file__).resolve().parents[2]
TRAIN, SCORED = "voices", {"emodb": "0", "fsdd": "3"}  # corpora; join utterances to these seconds
CONFIGS = ("statistics", "context", "speaker")
ADAPTED = {"solved": 0, "rounds": 2}  # how a head is adapted: rounds of adapt.sh
FIGURES = ("eer", "min_dcf", "nmi", "ari")
CEPSTRA = slice(1, 20)  # without the first, which is loudness
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
ENDLESS = 1_000_000  # steps of the paper's recipes, which have no schedule; time ends them
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
    """A recipe to train by."""

    config: Path
    options: tuple[str, ...] = ()  # of the step that trains
    rounds: int = 1


class Bench:
    """The corpora, a folder for everything, and the results so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.dir = options, options.dir
        self.results_file = self.dir / "results.jsonl"
        self.data = {name: self.dir / "data" / name for name in (TRAIN, *SCORED)}

    def step(self, script: str, *arguments) -> None:
        command = [ROOT / "steps_unspeech" / script, *arguments]
        print("+", *(str(word) for word in command), file=sys.stderr, flush=True)
        subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)

    def make_data(self) -> None:
        for name, data in self.data.items():
            join = ["--join-seconds", SCORED.get(name, "0")]
            self.step("import_corpus.sh", *join, self.options.corpora / name, data)
            self.step("make_fbank.sh", "--nj", "2", data)

    def results(self) -> list[dict]:
        if not self.results_file.exists():
            return []
        return [json.loads(line) for line in self.results_file.read_text().splitlines()]

    def measure(self, key: dict, vectors_of, about) -> None:
        """Score vectors, unless that was done.

        Args:
            key: what makes it this result and no other.
            vectors_of: makes {corpus: vectors or matrices} of the scored ones, in a folder.
            about: makes more to keep with the result, afterwards.
        Raises:
            NotAvailable: when it cannot be done here.
        """
        if any(key.items() <= result.items() for result in self.results()):
            return
        started = time.time()
        out = self.dir / "rows" / "-".join(str(value).replace(",", "+") for value in key.values())
        scores = {}
        for corpus, vectors in vectors_of(out).items():
            gold, clusters = self.data[corpus] / "utt2spk", out / "clusters" / corpus
            self.step("cluster.sh", "--utt2spk", gold, vectors, clusters)
            evaluated = out / "eval" / corpus
            self.step("evaluate.sh", "--clusters", clusters, vectors, gold, evaluated)
            found = json.loads((evaluated / "scores.json").read_text())
            scores[corpus] = {
                name: round(found[name], 4) for name in (*FIGURES, "clusters", "outliers")
            }
        result = key | scores | about()
        result |= {"wall_seconds": round(time.time() - started), "load": os.getloadavg()[2]}
        with self.results_file.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)

    def baseline(self, row: str) -> None:
        home = self.dir / "rows" / row
        key = {"row": row, "adapted": "no"}
        self.measure(key, lambda out: getattr(self, row)(home, SCORED), dict)

    def fbank(self, home: Path, corpora: Iterable[str]) -> dict[str, Path]:
        return {corpus: self.data[corpus] / "feats.scp" for corpus in corpora}

    def deviation(self, home: Path, corpora: Iterable[str]) -> dict[str, Path]:
        return self.means_and_deviations(home, corpora, lambda features: features)

    def mfcc(self, home: Path, corpora: Iterable[str]) -> dict[str, Path]:
        return self.means_and_deviations(
            home, corpora, lambda features: dct(features, norm="ortho")[:, CEPSTRA]
        )

    def means_and_deviations(self, home: Path, corpora: Iterable[str], of) -> dict[str, Path]:
        """Those of features over an utterance, each seen against those of the training corpus."""

        def vectors(corpus: str) -> dict[str, np.ndarray]:
            arrays = iterate_arrays(self.data[corpus] / "feats.scp")
            values = ((utterance, of(features)) for utterance, features in arrays)
            return {u: np.concatenate([v.mean(axis=0), v.std(axis=0)]) for u, v in values}

        known = np.array(list(vectors(TRAIN).values()))
        mean, deviation = known.mean(axis=0), known.std(axis=0)
        return {
            corpus: write(
                home / "embeddings" / corpus,
                {u: (vector - mean) / deviation for u, vector in vectors(corpus).items()},
            )
            for corpus in corpora
        }

    def ivectors(self, home: Path, corpora: Iterable[str]) -> dict[str, Path]:
        if not self.options.ivectors:
            raise NotAvailable(
                "--ivectors names no folder with i-vector directories that a compiled Kaldi has "
                f"extracted from {self.dir / 'data'}: {', '.join(self.data)}"
            )
        return {corpus: self.options.ivectors / corpus for corpus in corpora}

    def resemblyzer(self, home: Path, corpora: Iterable[str]) -> dict[str, Path]:
        python = self.encoder_python()
        embeddings = {corpus: home / "embeddings" / corpus for corpus in corpora}
        with tempfile.TemporaryDirectory() as name:
            audio, made = Path(name, "audio.npz"), Path(name, "made.npz")
            for corpus, place in embeddings.items():
                if not (place / "embedding.scp").exists():
                    np.savez(audio, **dict(DataAudio(self.data[corpus], 16000).read()))
                    subprocess.run([python, "-W", "ignore", "-c", EMBED, audio, made], check=True)
                    with np.load(made) as vectors:
                        write(place, dict(vectors))
        return embeddings

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

    def trained(self, row: str, recipe: Recipe, seed: int) -> None:
        """Measure a recipe with one seed."""
        if not recipe.config.exists():
            raise NotAvailable(f"{recipe.config}: no such file")
        options = self.options
        settings = recipe.config.read_bytes() + " ".join(recipe.options).encode()
        key = {
            "row": row,
            "seed": seed,
            "minutes": options.minutes,
            "rounds": recipe.rounds,
            "settings": hashlib.md5(settings, usedforsecurity=False).hexdigest()[:8],
        }
        home = self.dir / "rows" / "-".join(str(value) for value in key.values())
        model = home / "model"

        def vectors(out: Path, adapted: str) -> dict[str, Path]:
            script, more = "train.sh", recipe.options
            if recipe.rounds > 1:
                script, more = "train_rounds.sh", ("--rounds", recipe.rounds, *more)
            arguments = ["--config", recipe.config, "--seed", seed, "--max-minutes"]
            self.step(script, *arguments, options.minutes, *more, self.data[TRAIN], model)
            for corpus in SCORED:
                own = model
                if adapted != "no":
                    own = out / "model" / corpus
                    rounds = ["--rounds", ADAPTED[adapted], "--seed", seed]
                    self.step("adapt.sh", *rounds, self.data[corpus], model, own)
                self.step("embed_utterances.sh", self.data[corpus], own, out / corpus)
            return {corpus: out / corpus for corpus in SCORED}

        def about() -> dict:
            log = [json.loads(line) for line in (model / "train_log.jsonl").open()]
            return {"steps": log[-1]["step"], "train_seconds": round(log[-1]["seconds"])}

        solved = "solve_head: true" in recipe.config.read_text()
        for adapted in ("no", *ADAPTED) if solved else ("no",):
            made = partial(vectors, adapted=adapted)
            self.measure(key | {"adapted": adapted}, made, about)

    def table(self) -> str:
        """Means over seeds, a line a row, as Markdown."""
        groups: dict[tuple, list[dict]] = {}
        for result in self.results():
            parts = ("row", "adapted", "minutes", "rounds", "settings")
            groups.setdefault(tuple(result.get(part, "") for part in parts), []).append(result)
        figures = " | ".join(("EER %", "minDCF", "NMI", "ARI"))
        heads = " | ".join(f"{corpus}: {figures}" for corpus in SCORED)
        lines = [f"| row | minutes | seeds | {heads} |", "|---" * (3 + 4 * len(SCORED)) + "|"]
        rows = [row for row, *_ in groups]
        for key in sorted(groups, key=lambda key: rows.index(key[0])):
            (row, adapted, minutes, rounds, _), results = key, groups[key]
            seeds = " ".join(str(result["seed"]) for result in results if "seed" in result)
            in_rounds = f"in {rounds} rounds" if rounds not in ("", 1) else ""
            how = {"no": "", "solved": "adapted", "rounds": "adapted in rounds"}[adapted]
            cells = [" ".join(filter(None, (row, in_rounds, how))), str(minutes), seeds]
            for corpus in SCORED:
                means = {f: np.mean([result[corpus][f] for result in results]) for f in FIGURES}
                cells.append(f"{means.pop('eer'):.1f}")
                cells += [f"{mean:.2f}" for mean in means.values()]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


def write(directory: Path, vectors: dict[str, np.ndarray]) -> Path:
    """Write an embedding directory."""
    with ArkWriter(directory / "embedding.ark") as writer:
        for utterance, vector in vectors.items():
            writer.write(utterance, vector)
    return directory


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def words(text: str) -> list[str]:
        return [word for word in text.split(",") if word]

    parser.add_argument("--corpora", required=True, type=Path, help="folder of the three corpora")
    parser.add_argument("--dir", required=True, type=Path, help="folder for everything")
    parser.add_argument("--rows", type=words, help="which, commas between (all)")
    parser.add_argument("--seeds", type=words, default=["1", "2"], help="of training (1,2)")
    parser.add_argument("--minutes", type=float, default=15, help="of training, each (15)")
    parser.add_argument(
        "--config",
        type=Path,
        action="append",
        help="settings of a row; may be given again (those of conf/ but the paper's)",
    )
    parser.add_argument(
        "--rounds", type=int, default=1, help="train the rows of --config in so many rounds (1)"
    )
    parser.add_argument("--ivectors", type=Path, help="folder of Kaldi's i-vector directories")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "unspeech-bench"),
        help="folder for the encoder's environment, 1.2 GB (%(default)s)",
    )
    options = parser.parse_args()

    options.dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    paper = options.dir / "vgg16.yaml"
    paper.write_text(yaml.safe_dump(PAPER, sort_keys=False))
    more = ("--num-steps", str(ENDLESS), "--train-opts", "--steps-per-checkpoint 50")
    recipes = {
        "vgg16": Recipe(paper, ("--num-steps", str(ENDLESS))),
        "vgg16big": Recipe(ROOT / "conf/unspeech_64.yaml", more),
    }
    configs = options.config or [ROOT / "conf" / f"{name}.yaml" for name in CONFIGS]
    recipes |= {path.stem: Recipe(path.resolve(), rounds=options.rounds) for path in configs}
    baselines = ("fbank", "deviation", "mfcc", "ivectors", "resemblyzer")
    rows = options.rows or [*baselines, *recipes]
    unknown = set(rows).difference(baselines, recipes)
    if unknown:
        parser.error(f"no rows {', '.join(unknown)}; there are {', '.join([*baselines, *recipes])}")

    bench.make_data()
    runs = [(row, None) for row in rows if row in baselines]
    runs += [(row, int(seed)) for seed in options.seeds for row in rows if row in recipes]
    for row, seed in runs:
        try:
            if seed is None:
                bench.baseline(row)
            else:
                bench.trained(row, recipes[row], seed)
        except NotAvailable as reason:
            print(f"{row}: not available: {reason}", flush=True)
    print(bench.table())


if __name__ == "__main__":
    main()
