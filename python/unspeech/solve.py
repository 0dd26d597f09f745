"""Solve the head of a model from contexts, as the last step of training and for other corpora.

    python3 -m unspeech.solve contexts --feats data/train/feats.scp --data data/train --out contexts
    python3 -m unspeech.solve sums --model exp/model --feats feats.1.scp --contexts contexts \\
        --values values.1.ark --sums sums.1.npz
    python3 -m unspeech.solve head --model exp/model --sums sums.1.npz sums.2.npz
    python3 -m unspeech.solve head --model exp/model --sums sums.1.npz --weight 1 --out exp/adapted
    python3 -m unspeech.solve embed --model exp/adapted --values values.scp --ark embedding.ark

`contexts` names the recording of each utterance; `sums` goes through features once, in bounded
memory, and its sums add up over jobs; `head` solves, in seconds: for the corpus that a model is
trained on, or with --out for another one. With --clusters, those of the utterances are contexts as
well. `embed` applies a head to pooled values.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from unspeech.cli.errors import run_program
from unspeech.cli.limits import Number
from unspeech.cli.options import OptionParser
from unspeech.embedding.values import values_of
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import atomic_write, make_directory, read_table, write_table
from unspeech.kaldi.vectors import load_embeddings
from unspeech.network.config import write_config
from unspeech.network.inputs import read_inputs
from unspeech.network.model_dir import (
    WEIGHTS,
    check_complete,
    config_of,
    read_head,
    stored_arrays,
    write_head,
    write_id,
)
from unspeech.network.solved_head import (
    ContextSums,
    SolvedHead,
    adapt_head,
    covariance_within,
    solve_head,
    tell_apart,
    unit,
)
from unspeech.training.sampling import contexts_of

JOINED = 0.5  # how surely an outlier belongs to the cluster that it joined
CLUSTER_WEIGHT = 6.0  # of the covariance within clusters, beside that within recordings
_BLOCK = 4096  # utterances embedded at a time


def write_contexts(options) -> None:
    """Write the recording of each utterance, as a table."""
    utterances = list(read_table(options.feats))
    write_table(
        options.out, dict(zip(utterances, contexts_of(utterances, options.data), strict=True))
    )


def write_sums(options) -> None:
    """Pool the utterances of one job, and sum up what a head is solved from.

    The utterances of a recording stand together in the table of features.
    """
    config = config_of(options.model)
    maker = values_of(options.model, config)
    contexts = read_table(options.contexts)
    counts = Counter(contexts[name] for name in read_table(options.feats))
    sums = ContextSums.zeros(maker.width, maker.sums_width)
    recording, windows = None, []
    utterances = read_inputs(options.feats, options.data, config)
    pooled = maker.pooled(utterances, lambda name: counts[contexts[name]] == 1)
    with ArkWriter(options.values) as writer:
        for each in tqdm(pooled, unit="utt", disable=not sys.stderr.isatty()):
            writer.write(each.utterance, each.values)
            sums.add_utterance(each.values)
            sums.frames += each.sums
            if contexts[each.utterance] != recording:
                if windows:
                    sums.add_recording(np.concatenate(windows))
                recording, windows = contexts[each.utterance], []
            windows.append(each.windows)
        sums.add_recording(np.concatenate(windows))
    sums.save(options.sums)
    print(f"Pooled {sums.utterances} utterances to {maker.width} values each")


def solve(options) -> None:
    """Solve a head and put it into its model directory, whose `final.ie.id` comes last."""
    started = time.monotonic()
    config, out = config_of(options.model), options.out or options.model
    sums = ContextSums.load(options.sums[0])
    for path in options.sums[1:]:
        sums += ContextSums.load(path)
    if options.out is None:
        head = solve_head(sums, config.total_weight, config.embedding_limit, config.embedding_size)
    else:
        check_complete(options.model)
        within = cluster_covariance(options) if options.clusters else None
        head = adapt_head(
            read_head(options.model), sums, options.weight, within, CLUSTER_WEIGHT,
            options.embedding_size,
        )  # fmt: skip
        make_directory(out)
        write_config(out / "config.yaml", config)
    network = stored_arrays(options.model)
    write_head(out, head, options.model / WEIGHTS)
    made = write_id(out, network)
    report = f"Solved a head of {head.dim} of {len(head.mean)} directions from {sums.utterances} "
    report += "utterances"
    if options.out is None and len(sums.pairs) > 1:
        loss, found = tell_apart(head, sums.pairs)
        report += f"; {100 * found:.1f} % of {len(sums.pairs)} recordings are found by one window"
        if not config.has_network:
            seconds = time.monotonic() - started + options.seconds
            write_log(out / "train_log.jsonl", loss, found, sums, seconds)
    print(f"Summary: {report}. Model {made} is in {out}")


def write_log(path: Path, loss: float, found: float, sums: ContextSums, seconds: float) -> None:
    """Write the one report that there is of a training without steps."""
    record = {
        "step": 1,
        "seconds": round(seconds, 3),
        "loss": loss,
        "accuracy": found,
        "majority_accuracy": 1 / len(sums.pairs),
        "chance_loss": float(np.log(len(sums.pairs))),
        "pairs_per_second": sums.freedom / max(seconds, 1e-3),
    }
    with atomic_write(path) as file:
        file.write(json.dumps(record) + "\n")


def cluster_covariance(options) -> np.ndarray:
    """Covariance of the corpus's pooled values within the clusters of its utterances.

    An utterance weighs its probability to belong to its cluster; at least a half, which is that of
    outliers that have joined the nearest one.
    """
    utterances, values = load_embeddings(options.values, unit=False)
    speakers = read_table(options.clusters / "utt2spk")
    probabilities = read_table(options.clusters / "probabilities")
    names = np.array([speakers.get(utterance, "") for utterance in utterances])
    labels = np.unique(names, return_inverse=True)[1]
    labels[names == ""] = -1
    weights = np.array([float(probabilities.get(utterance, 0)) for utterance in utterances])
    return covariance_within(values, labels, np.maximum(weights, JOINED))


def embed_values(options) -> None:
    """Write one vector of unit length per utterance."""
    head: SolvedHead = read_head(options.model)
    utterances, values = load_embeddings(options.values, unit=False)
    with ArkWriter(options.ark) as writer:
        for start in range(0, len(utterances), _BLOCK):
            block = slice(start, start + _BLOCK)
            vectors = unit(head(values[block]))
            for utterance, vector in zip(utterances[block], vectors, strict=True):
                writer.write(utterance, vector)
    print(f"Embedded {len(utterances)} utterances")


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("what", choices=["contexts", "sums", "head", "embed"])
    parser.add_argument("--feats", type=Path, help="table or archive of features")
    parser.add_argument("--data", help="data directory of the utterances")
    parser.add_argument("--model", type=Path, help="model directory")
    parser.add_argument("--contexts", type=Path, help="sums: what `contexts` wrote")
    parser.add_argument("--values", type=Path, help="pooled values, an archive: written, or read")
    parser.add_argument(
        "--sums", type=Path, nargs="+", help="what `sums` writes, and `head` solves from"
    )
    parser.add_argument("--out", type=Path, help="contexts: the table; head: another model")
    parser.add_argument(
        "--weight",
        type=Number(float, "[0, 1000]"),
        default=1.5,
        help="head, with --out: of this corpus beside the one trained on (1.5)",
    )
    parser.add_argument("--clusters", type=Path, help="head: clusters directory of --values")
    parser.add_argument(
        "--embedding-size", type=Number(int, "[0, 100000]"), help="head, with --out: 0 for all"
    )
    parser.add_argument(
        "--seconds", type=Number(float, "[0, inf)"), default=0, help="head: that sums took, to log"
    )
    parser.add_argument("--ark", type=Path, help="embed: archive to write")
    options = parser.parse_args()
    run, needed = {
        "contexts": (write_contexts, ["feats", "data", "out"]),
        "sums": (write_sums, ["feats", "model", "contexts", "values", "sums"]),
        "head": (solve, ["model", "sums"] + ["values"] * bool(options.clusters)),
        "embed": (embed_values, ["model", "values", "ark"]),
    }[options.what]
    for name in needed:
        if getattr(options, name) is None:
            parser.error(f"{options.what} needs --{name}")
    if options.what == "sums":
        (options.sums,) = options.sums
    # Products of small matrices gain nothing by several threads, and lose by waiting for them; and
    # the head, whose id is that of its bytes, must not depend on their number.
    with threadpool_limits(1, "blas"):
        run(options)


if __name__ == "__main__":
    run_program(main)
