"""Cluster utterances into speakers, without labels.

    python3 -m unspeech.cluster --embeddings exp/embeddings/demo --out exp/clusters/demo

Leaves `utt2spk` (cluster of each utterance), `spk2utt` and `clusters.json`; with gold speakers
(`--utt2spk`) also `scores.json`. Utterances that belong to no cluster are outliers.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import hdbscan
import numpy as np

from unspeech.errors import UnspeechError, run_program
from unspeech.scores import clustering_scores
from unspeech.tables import atomic_write, invert, speakers_of, write_table
from unspeech.vectors import load_embeddings

OUTLIER = -1  # label


def exact_hdbscan(
    vectors: np.ndarray,
    min_cluster_size: int,
    min_samples: int,
    method: str = "eom",
    epsilon: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster vectors by density, Euclidean distance.

    Returns:
        (utterances,) int64 cluster of each, or OUTLIER; (utterances,) probability that it
        belongs there, 0 for outliers.
    Source: Campello, Moulavi, Sander, "Density-based clustering based on hierarchical density
        estimates", 2013; McInnes, Healy, Astels, "hdbscan", JOSS 2017.
    """
    model = hdbscan.HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min_samples,
        cluster_selection_method=method,
        cluster_selection_epsilon=epsilon,
        approx_min_span_tree=False,
        core_dist_n_jobs=1,
    )
    labels = model.fit_predict(vectors.astype(np.float64))
    return labels.astype(np.int64), model.probabilities_


def nearest_cluster(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Give each outlier the cluster whose mean is nearest.

    Args:
        vectors: (utterances, dim).
        labels: (utterances,) cluster or OUTLIER; at least one cluster.
    Returns:
        (utterances,) labels without OUTLIER.
    """
    inliers = labels != OUTLIER
    counts = np.bincount(labels[inliers])
    means = np.zeros((len(counts), vectors.shape[1]))
    np.add.at(means, labels[inliers], vectors[inliers])
    means /= counts[:, None]
    score = vectors[~inliers] @ means.T - 0.5 * np.square(means).sum(axis=1)
    settled = labels.copy()
    settled[~inliers] = score.argmax(axis=1)
    return settled


def cluster_names(labels: np.ndarray) -> list[str]:
    """Name clusters c00000…, in the order of their first utterances, and outliers o000000….

    All names of a kind have one length, so that names prefixed with them sort by speaker.
    """
    names: dict[int, str] = {}
    clusters, outliers = len(set(labels.tolist()) - {OUTLIER}), 0
    width = max(5, len(str(clusters)))
    outlier_width = max(6, len(str(np.count_nonzero(labels == OUTLIER))))
    result = []
    for label in labels.tolist():
        if label == OUTLIER:
            result.append(f"o{outliers:0{outlier_width}d}")
            outliers += 1
        else:
            result.append(names.setdefault(label, f"c{len(names):0{width}d}"))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def option(name: str, **kwargs) -> None:
        parser.add_argument(*sorted({f"--{name}", f"--{name.replace('-', '_')}"}), **kwargs)

    option("embeddings", required=True, help="directory of embeddings or i-vectors, scp or ark")
    option("out", required=True, type=Path, help="clusters directory")
    option("utt2spk", help="gold speakers, for scores only")
    option("min-cluster-size", type=int, default=5, help="utterances that make a cluster")
    option("min-samples", type=int, default=2, help="neighbours that make a dense place")
    option("cluster-selection-method", choices=["eom", "leaf"], default="eom")
    option(
        "cluster-selection-epsilon",
        type=float,
        default=0.0,
        help="distance below which clusters are not split",
    )
    option("metric", choices=["euclidean"], default="euclidean", help="of unit-length vectors")
    option(
        "outliers",
        choices=["own", "nearest", "leave-out"],
        default="own",
        help="a speaker each, the nearest cluster, or left out",
    )
    option("seed", type=int, default=1)
    options = parser.parse_args()

    if options.min_cluster_size < 2:
        raise UnspeechError(f"--min-cluster-size is {options.min_cluster_size}; at least 2")
    if options.min_samples < 1:
        raise UnspeechError(f"--min-samples is {options.min_samples}; at least 1")
    utterances, vectors = load_embeddings(options.embeddings)
    least = max(options.min_cluster_size, options.min_samples + 1)
    if len(utterances) < least:
        raise UnspeechError(
            f"{options.embeddings}: {len(utterances)} utterances; these settings need at least "
            f"{least}: give more, or a smaller --min-cluster-size and --min-samples"
        )
    gold = speakers_of(utterances, options.utt2spk) if options.utt2spk else None
    print(f"Clustering {len(utterances)} utterances, seed {options.seed}", flush=True)
    labels, _ = exact_hdbscan(
        vectors,
        options.min_cluster_size,
        options.min_samples,
        options.cluster_selection_method,
        options.cluster_selection_epsilon,
    )

    outliers = int(np.count_nonzero(labels == OUTLIER))
    clusters = len(set(labels.tolist()) - {OUTLIER})
    if clusters == 0 and options.outliers != "own":
        raise UnspeechError(
            f"{options.embeddings}: every utterance is an outlier; use --outliers own or a smaller "
            "--min-cluster-size"
        )
    settled = nearest_cluster(vectors, labels) if options.outliers == "nearest" else labels
    names = cluster_names(settled)
    utt2spk = {
        utterance: name
        for utterance, name, label in zip(utterances, names, settled, strict=True)
        if label != OUTLIER or options.outliers == "own"
    }
    options.out.mkdir(parents=True, exist_ok=True)
    write_table(options.out / "utt2spk", utt2spk)
    write_table(options.out / "spk2utt", invert(utt2spk))
    if gold:
        scored = np.unique(names, return_inverse=True)[1]
        scores = clustering_scores(np.array(gold), scored, int(np.sum(settled == OUTLIER)))
        with atomic_write(options.out / "scores.json") as file:
            json.dump(scores, file, indent=2)
    command = shlex.join(["python3", "-m", "unspeech.cluster", *sys.argv[1:]])
    settings = vars(options) | {"out": str(options.out), "command": command}
    summary = {
        "utterances": len(utterances),
        "clusters": clusters,
        "outliers": outliers,
        "settings": settings,
    }
    with atomic_write(options.out / "clusters.json") as file:
        json.dump(summary, file, indent=2)
    print(f"{options.out}: {clusters} clusters, {outliers} outliers")


if __name__ == "__main__":
    run_program(main)
