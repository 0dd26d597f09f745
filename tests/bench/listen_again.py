"""How long clustering again takes with answers as constraints, on the graph that is kept.

    PYTHONPATH=python python3 tests/bench/listen_again.py --size 1000000 --answers 100,1000

Clusters generated vectors of speakers, of whom a tenth stand close to another one (`--overlap`),
then for each number of answers writes corrections.jsonl by the true speakers and calls the program
again. Half of the answers join two clusters that are one speaker's, half part a cluster that holds
two, as far as there are such; the rest are of pairs of one cluster that are one speaker's. Every
figure is a line of JSON: seconds by the clock and of the processor, memory and seconds of each
phase, scores. With --dir, the folder is kept, and its graph is not made again.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from cluster import cluster, show
from generated import speakers, utterances_of, write

from unspeech.corrections.log import NAME
from unspeech.kaldi.tables import read_table


def pairs_to_answer(gold: np.ndarray, labels: np.ndarray, count: int, seed: int) -> list[dict]:
    """Answers about so many pairs of utterances, numbered as in `gold`."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(gold))
    homes: dict[int, int] = {}  # an utterance of each true speaker
    first: dict[int, int] = {}  # an utterance of each cluster
    join, part, keep = [], [], []
    for i in order.tolist():
        speaker, label = int(gold[i]), int(labels[i])
        here, there = first.setdefault(label, i), homes.setdefault(speaker, i)
        if gold[here] != speaker:
            part.append((i, here))
        elif labels[there] != label:
            join.append((i, there))
        elif there != i:
            keep.append((i, there))
    chosen = [("different", pair) for pair in part[: count // 2]]
    chosen += [("same", pair) for pair in join[: count - count // 2]]
    chosen += [("same", pair) for pair in keep[: count - len(chosen)]]
    name = "u{:08d}".format
    return [
        {"revision": number, "action": kind, "a": name(a), "b": name(b), "part": None}
        | ({"to": None} if kind == "different" else {})
        for number, (kind, (a, b)) in enumerate(chosen, start=1)
    ]


def measure(folder: Path, options: argparse.Namespace) -> None:
    gold, means, spreads = speakers(options.size, options.seed, options.overlap)
    if not (folder / "embedding.scp").exists():
        write(folder, utterances_of(gold, means, spreads, options.seed))
    clusters, threads = folder / "clusters", ("--threads", str(options.threads))
    log = clusters / NAME
    log.unlink(missing_ok=True)
    for what in ("first time", "again"):
        show(what=what, size=len(gold), answers=0, **cluster(folder, gold, *threads))
    labels = np.unique(list(read_table(clusters / "utt2spk").values()), return_inverse=True)[1]
    for count in options.answers:
        answers = pairs_to_answer(gold, labels, count, options.seed)
        log.write_text("".join(f"{json.dumps(answer)}\n" for answer in answers))
        kinds = [answer["action"] for answer in answers]
        found = {kind: kinds.count(kind) for kind in ("same", "different")}
        show(what="again", size=len(gold), **found, **cluster(folder, gold, *threads))
    log.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument(
        "--answers", type=lambda text: [int(word) for word in text.split(",")], default=[100, 1000]
    )
    parser.add_argument("--overlap", type=float, default=0.1, help="fraction of close speakers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="folder of the vectors and the graph, kept")
    options = parser.parse_args()
    show(seed=options.seed, threads=options.threads, load=round(os.getloadavg()[0], 1))
    if options.dir:
        options.dir.mkdir(parents=True, exist_ok=True)
        return measure(options.dir, options)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


if __name__ == "__main__":
    main()
