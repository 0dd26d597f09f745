"""What the steps of solving a head do: pool a corpus in jobs, solve or adapt, apply the head."""

import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unspeech.embedding.solving import (
    ContextSums,
    adapt_head,
    covariance_within,
    solve_head,
    stored_arrays,
    tell_apart,
)
from unspeech.embedding.values import values_of
from unspeech.files.atomic import atomic_write, make_directory
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.copies import contexts_of
from unspeech.kaldi.tables import read_table, write_table
from unspeech.kaldi.vectors import load_embeddings
from unspeech.network.config_files import write_config
from unspeech.network.inputs import read_inputs
from unspeech.network.model_dir import (
    WEIGHTS,
    check_complete,
    check_id,
    config_of,
    read_head,
    write_head,
    write_id,
)
from unspeech.network.solved_head import SolvedHead, unit_length

JOINED = 0.5  # how surely an outlier belongs to the cluster that it joined
CLUSTER_WEIGHT = 6.0  # of the covariance within clusters, beside that within recordings
_BLOCK = 4096  # utterances embedded at a time


def write_contexts(feats: Path, data: str, out: Path) -> None:
    """Write the recording of each utterance, as a table."""
    utterances = list(read_table(feats))
    write_table(out, dict(zip(utterances, contexts_of(utterances, data), strict=True)))


def write_sums(
    model: Path, feats: Path, data: str | None, contexts_file: Path, values: Path, sums_file: Path
) -> None:
    """Pool the utterances of one job, and sum up what a head is solved from.

    Args:
        model: model directory, of which the head is not needed.
        feats: table of the utterances; those of a recording stand together.
        data: data directory, for models of waveforms.
        contexts_file: what `write_contexts` wrote.
        values: archive to write pooled values to.
        sums_file: where the sums go, see `ContextSums.save`.
    """
    config = config_of(model)
    maker = values_of(model, config)
    contexts = read_table(contexts_file)
    counts = Counter(contexts[name] for name in read_table(feats))
    sums = ContextSums.zeros(maker.width, maker.sums_width)
    recording, windows = None, []
    utterances = read_inputs(feats, data, config)
    pooled = maker.pooled(utterances, lambda name: counts[contexts[name]] == 1)
    with ArkWriter(values) as writer:
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
    sums.save(sums_file)
    print(f"Pooled {sums.utterances} utterances to {maker.width} values each")


def solve_model(model: Path, parts: list[Path], seconds: float) -> str:
    """Solve the head of a model for the corpus that it is trained on; `final.ie.id` comes last.

    Args:
        model: model directory; a network's weights are in it already.
        parts: sums of all jobs, which `write_sums` wrote.
        seconds: that they took, for the log.
    Returns:
        what came out of it, in a sentence.
    """
    started = time.monotonic()
    config, sums = config_of(model), load_sums(parts)
    head = solve_head(sums, config.total_weight, config.embedding_limit, config.embedding_size)
    network = stored_arrays(model)
    write_head(model, head, model / WEIGHTS)
    made = write_id(model, network)
    report = _solved(head, sums)
    if len(sums.pairs) > 1:
        loss, found = tell_apart(head, sums.pairs)
        report += f"; {100 * found:.1f} % of {len(sums.pairs)} recordings are found by one window"
        if not config.has_network:
            took = time.monotonic() - started + seconds
            write_log(model / "train_log.jsonl", loss, found, sums, took)
    return f"{report}. Model {made} is in {model}"


def adapt_model(
    model: Path,
    parts: list[Path],
    out: Path,
    weight: float,
    clustered: tuple[Path, Path] | None,
    dim: int | None,
) -> str:
    """Make a model whose head is solved again for another corpus.

    Args:
        model: model directory with a solved head.
        parts: sums of the corpus, which `write_sums` wrote.
        out: the other model directory.
        weight: of this corpus beside the one trained on.
        clustered: clusters directory of its utterances, and the archive of their pooled values;
            None: clusters do not count.
        dim: of an embedding; 0 for all, None for that of the head.
    Returns:
        what came out of it, in a sentence.
    """
    config, sums = config_of(model), load_sums(parts)
    check_complete(model)
    network = stored_arrays(model)
    check_id(model, network)
    within = cluster_covariance(*clustered) if clustered else None
    head = adapt_head(read_head(model), sums, weight, within, CLUSTER_WEIGHT, dim)
    make_directory(out)
    write_config(out / "config.yaml", config)
    write_head(out, head, model / WEIGHTS)
    made = write_id(out, network)
    return f"{_solved(head, sums)}. Model {made} is in {out}"


def load_sums(parts: list[Path]) -> ContextSums:
    """The sums of all jobs, added up in their order."""
    sums = ContextSums.load(parts[0])
    for path in parts[1:]:
        sums += ContextSums.load(path)
    return sums


def _solved(head: SolvedHead, sums: ContextSums) -> str:
    directions = f"{head.dim} of {len(head.mean)} directions"
    return f"Solved a head of {directions} from {sums.utterances} utterances"


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


def cluster_covariance(clusters: Path, pooled: Path) -> np.ndarray:
    """Covariance of the corpus's pooled values within the clusters of its utterances.

    An utterance weighs its probability to belong to its cluster; at least a half, which is that of
    outliers that have joined the nearest one.
    """
    utterances, values = load_embeddings(pooled, unit_length=False)
    speakers = read_table(clusters / "utt2spk")
    probabilities = read_table(clusters / "probabilities")
    names = np.array([speakers.get(utterance, "") for utterance in utterances])
    labels = np.unique(names, return_inverse=True)[1]
    labels[names == ""] = -1
    weights = np.array([float(probabilities.get(utterance, 0)) for utterance in utterances])
    return covariance_within(values, labels, np.maximum(weights, JOINED))


def embed_values(model: Path, pooled: Path, ark: Path) -> None:
    """Write one vector of unit length per utterance: a model's head, applied to pooled values."""
    head = read_head(model)
    utterances, values = load_embeddings(pooled, unit_length=False)
    with ArkWriter(ark) as writer:
        for start in range(0, len(utterances), _BLOCK):
            block = slice(start, start + _BLOCK)
            vectors = unit_length(head(values[block]))
            for utterance, vector in zip(utterances[block], vectors, strict=True):
                writer.write(utterance, vector)
    print(f"Embedded {len(utterances)} utterances")
