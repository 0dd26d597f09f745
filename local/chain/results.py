#!/usr/bin/env python3
"""Write the table of word error rates that a recipe ends with.

    local/chain/results.py --systems conf/systems.tsv --out RESULTS.md data/fold1:exp/fold1 …

A pair is a data directory and an experiment directory of local/chain/experiment.sh, one for each
fold; errors of all folds are counted together, and so are those of `--networks` trained for a line
of the list. A rate is Kaldi's best over weights of the language model and word insertion penalties,
as `steps/score_kaldi.sh` leaves it. Three figures go with it:

- Kaldi's interval of 95 % (`compute-wer-bootci`, which draws utterances);
- Kaldi's chance that the recogniser is better than the first of its kind, which for networks is the
  first of the list (the same program);
- the interval of 95 % of the difference to that one, in points, from 10,000 draws of the test's
  true speakers: utterances of a speaker have their errors in common, so it is the wider one.

Either draws what several networks made of an utterance together.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.options import OptionParser
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.tables import read_table, write_table

GMMS = {
    "mono": "GMM, monophones",
    "tri1": "GMM, triphones",
    "tri2": "GMM, triphones, LDA and MLLT",
    "tri3": "GMM, triphones, fMLLR",
}
HEADER = (
    "| speakers | recogniser | mean | rows | WER % | 95 % | errors | better than the first, % |"
    " difference, 95 % | minutes |"
)
DRAWS = 10_000


@dataclass
class Result:
    """What a recogniser made of the test utterances, by their original names.

    Attributes:
        said, heard: the transcripts.
        errors: of each utterance.
        speakers: the true speaker of each.
        minutes: of training and decoding one network.
    """

    said: dict[str, str]
    heard: dict[str, str]
    errors: dict[str, int]
    speakers: dict[str, str]
    minutes: float

    @property
    def words(self) -> int:
        return sum(len(text.split()) for text in self.said.values())


def read_texts(path: Path) -> dict[str, str]:
    """Transcripts, of which some may be empty."""
    lines = (line.partition(" ") for line in path.read_text().splitlines())
    return {name: text.strip() for name, _, text in lines}


def read_result(data: Path, speakers: str, system: Path) -> Result:
    """The result of one network or GMM in one fold.

    Raises:
        UnspeechError: when it has not been scored.
    """
    scoring = system / "decode/scoring_kaldi"
    best = scoring / "best_wer"
    text = best.read_text() if best.exists() else ""
    found = re.search(r"wer_(\d+)_(\S+)\s*$", text)
    if not found:
        raise UnspeechError(f"{best}: no word error rate; call run.sh again, from an earlier stage")
    utt_map = data / speakers / "test/utt_map"
    original = read_table(utt_map) if utt_map.exists() else {}
    errors = {}
    for line in (scoring / "wer_details/per_utt").read_text().splitlines():
        name, kind, *counts = line.split()
        if kind == "#csid":
            errors[name] = sum(map(int, counts[1:]))
    said = read_texts(scoring / "test_filt.txt")
    heard = read_texts(scoring / f"penalty_{found[2]}/{found[1]}.txt")
    true = read_table(data / "true/test/utt2spk")
    name_of = {name: original.get(name, name) for name in said}
    return Result(
        {name_of[name]: text for name, text in said.items()},
        {name_of[name]: heard.get(name, "") for name in said},
        {name_of[name]: errors.get(name, len(text.split())) for name, text in said.items()},
        {name_of[name]: true[name_of[name]] for name in said},
        sum(seconds_of(place) for place in (system, system / "decode")) / 60,
    )


def seconds_of(directory: Path) -> float:
    """How long a directory took to make, as `once` of path.sh notes it."""
    text = (directory / ".done").read_text() if (directory / ".done").exists() else ""
    return float(text or 0)


def of_networks(results: list[Result]) -> Result:
    """Several networks as one, whose transcripts are theirs one after the other."""

    def add_up(name: str, together) -> dict:
        parts = [getattr(result, name) for result in results]
        return {key: together(part[key] for part in parts) for key in parts[0]}

    return Result(
        add_up("said", " ".join),
        add_up("heard", " ".join),
        add_up("errors", sum),
        results[0].speakers,
        sum(result.minutes for result in results) / len(results),
    )


def joined(results: list[Result]) -> Result:
    """All folds together."""
    whole = Result({}, {}, {}, {}, 0.0)
    for fold, result in enumerate(results):
        for name in ("said", "heard", "errors", "speakers"):
            part = getattr(result, name).items()
            getattr(whole, name).update({f"{fold}-{key}": value for key, value in part})
        whole.minutes += result.minutes
    return whole


def bootci(result: Result, first: Result) -> tuple[str, str]:
    """Kaldi's interval of the rate, and its chance that it is below the first's, in %."""
    if not shutil.which("compute-wer-bootci"):
        raise UnspeechError("no compute-wer-bootci on PATH: compile Kaldi, then src/bin")
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place, name) for name in ("said", "first", "heard")]
        for path, texts in zip(files, (result.said, first.heard, result.heard), strict=True):
            write_table(path, {name: texts.get(name, "") for name in sorted(result.said)})
        command = ["compute-wer-bootci", "--mode=present", *(f"ark:{path}" for path in files)]
        run = subprocess.run(command, capture_output=True, text=True)
    interval = re.search(r"Set2:.*Interval \[ (\S+), (\S+) \]", run.stdout)
    better = re.search(r"improving Set1: (\S+)", run.stdout)
    if run.returncode or not interval or not better:
        raise UnspeechError(f"compute-wer-bootci: {run.stderr.strip() or run.stdout.strip()}")
    return f"{interval[1]} to {interval[2]}", f"{float(better[1]):.0f}"


def difference(result: Result, first: Result, seed: int = 1) -> str:
    """The interval of the difference of two rates in points, from draws of speakers."""
    speakers = sorted(set(result.speakers.values()))
    place = {speaker: index for index, speaker in enumerate(speakers)}
    counts = np.zeros((3, len(speakers)))  # words, errors, errors of the first
    for name, text in result.said.items():
        column = place[result.speakers[name]]
        counts[:, column] += len(text.split()), result.errors[name], first.errors.get(name, 0)
    drawn = np.random.default_rng(seed).integers(len(speakers), size=(DRAWS, len(speakers)))
    words, errors, others = counts[:, drawn].sum(axis=-1)
    low, high = np.quantile(100 * (errors - others) / words, (0.025, 0.975))
    return f"{low:+.2f} to {high:+.2f}"


def wer_table(systems: Path, folds: list[tuple[Path, Path]], seeds: Iterable[int]) -> list[str]:
    """Lines of the table in Markdown: networks in the order of the list, then the GMMs."""
    rows: dict[tuple[str, ...], Result] = {}
    lines = [line.split() for line in systems.read_text().splitlines()]
    listed = [line[:3] for line in lines if line and not line[0].startswith("#")]
    for speakers, mean, beside in listed:
        name = f"tdnn_{mean}" + ("" if beside == "-" else f"_{beside}")
        results = [
            of_networks(
                [read_result(data, speakers, exp / speakers / f"{name}_seed{n}") for n in seeds]
            )
            for data, exp in folds
        ]
        said = beside.replace("+", " and ").replace("-", "none")
        rows[speakers, "chain TDNN", mean, said] = joined(results)
    for speakers in dict.fromkeys(speakers for speakers, *_ in listed):
        for name, title in GMMS.items():
            if (folds[0][1] / speakers / name / "decode").exists():
                results = [
                    read_result(data, speakers, exp / speakers / name) for data, exp in folds
                ]
                rows[speakers, title, "removed", "none"] = joined(results)
    firsts: dict[str, Result] = {}  # of networks, and of GMMs of each sort
    table = [HEADER, "|---" * 10 + "|"]
    for cells, result in rows.items():
        first = firsts.setdefault(cells[1], result)
        errors = sum(result.errors.values())
        interval, better = bootci(result, first)
        compared = ["", ""] if result is first else [better, difference(result, first)]
        figures = [f"{100 * errors / result.words:.2f}", interval, str(errors), *compared]
        table.append(f"| {' | '.join([*cells, *figures, f'{result.minutes:.0f}'])} |")
    return table


def cluster_table(folds: list[tuple[Path, Path]]) -> list[str]:
    """Lines of a table that says how the clusters differ from the speakers."""
    lines = ["| fold | part | clusters / speakers | outliers | ARI | NMI |", "|---" * 6 + "|"]
    for fold, (_, exp) in enumerate(folds, start=1):
        for part in ("train", "test"):
            path = exp / f"unspeech/eval/{part}/scores.json"
            if path.exists():
                scores = Counter(json.loads(path.read_text()))
                lines.append(
                    f"| {fold} | {part} | {scores['clusters']} / {scores['speakers']} | "
                    f"{scores['outliers']} of {scores['utterances']} | "
                    f"{scores['ari']:.2f} | {scores['nmi']:.2f} |"
                )
    return lines


def fold_of(text: str) -> tuple[Path, Path]:
    data, _, exp = text.partition(":")
    return Path(data), Path(exp)


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--systems", required=True, type=Path, help="list of the recognisers")
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    parser.add_argument("--seed", type=int, default=1, help="of the first network of a line")
    parser.add_argument("--networks", type=int, default=1, help="of a line, seeds from that one on")
    parser.add_argument("folds", nargs="+", type=fold_of, help="<data-dir>:<exp-dir>")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.networks)
    lines = ["Word error rates:", "", *wer_table(options.systems, options.folds, seeds)]
    clusters = cluster_table(options.folds)
    if len(clusters) > 2:
        lines += ["", "The clusters:", "", *clusters]
    with atomic_write(options.out) as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    run_program(main)
