"""Let new utterances join an existing clustering, which stays as it is.

    python3 -m unspeech.assign --embeddings exp/embeddings/new --clusters exp/clusters/demo \\
        --out exp/clusters/new

A new utterance joins the cluster of the member that it reaches most easily, unless the cluster had
not split from others yet at that distance: then it is an outlier.
Source: McInnes, Healy, Astels, "hdbscan", JOSS 2017: its `approximate_predict`.
"""

import argparse
import json
from pathlib import Path

import faiss
import numpy as np

from unspeech.cluster import (
    add_outliers_option,
    cluster_means,
    join_nearest,
    speaker_names,
    write_clusters,
)
from unspeech.errors import UnspeechError, run_program
from unspeech.hierarchy import OUTLIER
from unspeech.neighbours import CHUNK, NEIGHBOURS, PROBES, Graph, add_threads_option, store_vectors
from unspeech.tables import speakers_of


def assign(
    graph: Graph, members: dict[str, np.ndarray], new: Graph, min_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the cluster of each new vector.

    Args:
        graph: of the clustered vectors.
        members: `labels` and `core` of the clustered vectors, `births` and `deaths` of clusters.
        new: graph folder with the new vectors.
    Returns:
        (new,) int64 cluster or OUTLIER; (new,) probability.
    """
    labels, core = members["labels"], members["core"]
    births, deaths = members["births"], members["deaths"]
    old, vectors = graph.vectors(), new.vectors()
    count = min(max(NEIGHBOURS, min_samples), len(old))
    index = graph.index() if (graph.folder / "index.json").exists() else None
    if index is None:
        index = faiss.IndexFlatL2(old.shape[1])
        index.add(np.ascontiguousarray(old))
    else:
        index.nprobe = min(PROBES, index.nlist)

    def search(start: int) -> tuple[np.ndarray, np.ndarray]:
        squares, ids = index.search(np.ascontiguousarray(vectors[start : start + CHUNK]), count)
        distances = np.where(ids < 0, np.inf, np.sqrt(np.maximum(squares, 0)))
        reach = np.maximum(np.maximum(distances, core[ids]), distances[:, min_samples - 1, None])
        reach[(labels[ids] == OUTLIER) | (ids < 0)] = np.inf
        nearest = reach.argmin(axis=1)
        rows = np.arange(len(ids))
        cluster = labels[ids[rows, nearest]]
        with np.errstate(divide="ignore"):
            density = 1 / reach[rows, nearest]
        joins = (density > 0) & (density >= births[cluster])
        with np.errstate(invalid="ignore"):
            probability = np.fmin(1, density / deaths[cluster])
        return np.where(joins, cluster, OUTLIER), np.where(joins, probability, 0)

    starts = range(0, len(vectors), CHUNK)
    results = list(new.map("assign", search, starts, [CHUNK] * len(starts)))
    return tuple(np.concatenate(arrays) for arrays in zip(*results, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embeddings", required=True, help="directory, scp or ark of new vectors")
    parser.add_argument("--clusters", required=True, type=Path, help="existing clusters directory")
    parser.add_argument("--out", required=True, type=Path, help="clusters directory to make")
    parser.add_argument("--utt2spk", help="gold speakers, for scores only")
    parser.add_argument(
        *("--min-probability", "--min_probability"),
        type=float,
        default=0.0,
        help="an utterance whose probability is lower is an outlier",
    )
    add_outliers_option(parser)
    add_threads_option(parser)
    options = parser.parse_args()

    for name in ("clusters.json", "members.npz", "graph/vectors.npy"):
        if not (options.clusters / name).exists():
            raise UnspeechError(f"{options.clusters / name}: no such file; cluster again")
    if options.out.resolve() == options.clusters.resolve():
        raise UnspeechError(f"{options.out}: --out must not be the existing clustering")
    summary = json.loads((options.clusters / "clusters.json").read_text(encoding="utf-8"))
    settings = summary["settings"]
    with np.load(options.clusters / "members.npz") as arrays:
        members = dict(arrays)
    if (members["labels"] == OUTLIER).all():
        raise UnspeechError(f"{options.clusters}: it has no clusters that could be joined")
    graph = Graph(options.clusters / "graph", options.threads)
    new = Graph(options.out / "graph", options.threads)
    store_vectors(new, options.embeddings, settings["metric"])
    dims = new.vectors().shape[1], graph.vectors().shape[1]
    if dims[0] != dims[1]:
        raise UnspeechError(
            f"{options.embeddings}: dimension {dims[0]}, but {dims[1]} in {options.clusters}; "
            "embed with the same model"
        )
    utterances = new.utterances()
    gold = speakers_of(utterances, options.utt2spk) if options.utt2spk else None
    labels, probabilities = assign(graph, members, new, settings["min_samples"])
    unsure = probabilities < options.min_probability
    labels[unsure], probabilities[unsure] = OUTLIER, 0
    settled = labels
    if options.outliers == "nearest":
        means = cluster_means(graph.vectors(), members["labels"])
        settled = join_nearest(new.vectors(), labels, means)
    names = speaker_names(
        settled, summary["clusters"], options.outliers == "leave-out", summary["outliers"]
    )
    kept = {n: v for n, v in vars(options).items() if n != "threads"} | {
        name: settings[name] for name in ("metric", "min_samples", "min_cluster_size")
    }
    write_clusters(options.out, utterances, labels, probabilities, names, kept, gold)


if __name__ == "__main__":
    run_program(main)
