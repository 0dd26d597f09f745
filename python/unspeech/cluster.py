"""Cluster utterances into speakers, without labels.

    python3 -m unspeech.cluster --embeddings exp/embeddings/demo --out exp/clusters/demo

Leaves `utt2spk` (cluster of each utterance), `spk2utt`, `probabilities` (that an utterance belongs
to its cluster) and `clusters.json`; with gold speakers (`--utt2spk`) also `scores.json`.
Utterances that belong to no cluster are outliers; `outliers` names them and the nearest cluster of
each, whatever becomes of them in `utt2spk`. K-means has none. `members.npz` and the folder `graph`
are for `unspeech.assign`, and for clustering again with other settings. Corrections of a listener
in the output directory are kept: `utt2spk` has them, `uncorrected` what the clustering has found.
"""

import numpy as np

from unspeech.cli.errors import run_program
from unspeech.cli.limits import COUNT, Number
from unspeech.clustering.algorithms import (
    core_distances,
    density_clusters,
    kmeans_clusters,
    make_graph,
)
from unspeech.clustering.directory import (
    cluster_means,
    nearest_clusters,
    read_input,
    write_clusters,
)
from unspeech.clustering.graph import reported
from unspeech.clustering.options import add_algorithm_options, add_outliers_option, clusters_parser
from unspeech.files.atomic import atomic_write


def main() -> None:
    parser = clusters_parser(__doc__)
    parser.add_argument(
        "--cluster-algorithm", choices=["HDBSCAN", "DBSCAN", "kmeans"], default="HDBSCAN"
    )
    parser.add_argument(
        "--min-cluster-size",
        type=Number(int, "[2, inf)"),
        default=5,
        help="utterances that make a cluster of HDBSCAN",
    )
    parser.add_argument(
        "--min-samples", type=COUNT, default=2, help="neighbours that make a dense place"
    )
    parser.add_argument(
        "--dbscan-eps",
        type=Number(float, "(0, inf)"),
        default=0.05,
        help="distance of neighbours, for DBSCAN",
    )
    parser.add_argument("--n-clusters", type=COUNT, default=42, help="for kmeans")
    add_algorithm_options(parser)
    add_outliers_option(parser, "nearest")
    options = parser.parse_args()

    print(f"Clustering {options.embeddings}, seed {options.seed}", flush=True)
    graph, utterances, gold = read_input(options, vars(options))
    metric, core = options.metric, np.empty(0)
    if options.cluster_algorithm == "kmeans":
        found = kmeans_clusters(graph, options)
    else:
        metric = make_graph(graph, options, options.min_cluster_size, options.min_samples)
        found = density_clusters(graph, options, metric)
        core = core_distances(graph, options.min_samples, metric)
    labels, clusters = found.labels, int(found.labels.max()) + 1
    with reported("outliers"):
        means = cluster_means(graph.vectors(), labels)
        nearest = nearest_clusters(graph, labels, means, options.metric)
    with reported("files"):
        with atomic_write(options.out / "members.npz", "wb") as file:
            np.savez(file, labels=labels, births=found.births, deaths=found.deaths, core=core)
        settings = {name: value for name, value in vars(options).items() if name != "threads"}
        settings["algorithm"] = "exact" if metric else "approximate"
        write_clusters(
            *(options.out, utterances, labels, nearest, found.probabilities),
            *(clusters, settings, gold),
        )


if __name__ == "__main__":
    run_program(main)
