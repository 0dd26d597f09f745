"""Cluster with several settings on one graph of neighbours, and compare.

    python3 -m unspeech.cluster_grid --embeddings exp/embeddings/demo --out exp/clusters/demo \\
        --min-cluster-size 3,5,10 --min-samples 1,2,5

Leaves `grid.png` and `grid.tsv`, a line a setting: with gold speakers (`--utt2spk`) their scores,
as `unspeech.cluster` would report them, without the stability of clusters, 0 to 1 each, on average.
"""

import numpy as np

from unspeech.cli.errors import run_program
from unspeech.cli.limits import COUNT, Number
from unspeech.clustering.algorithms import hdbscan_settings, make_graph, utterance_tree
from unspeech.clustering.directory import cluster_means, nearest_clusters, read_input
from unspeech.clustering.grid import numbers, picture, point
from unspeech.clustering.hierarchy import single_linkage, tree_clusters
from unspeech.clustering.options import add_algorithm_options, add_outliers_option, clusters_parser
from unspeech.files.atomic import atomic_write


def main() -> None:
    parser = clusters_parser(__doc__)
    parser.add_argument(
        "--min-cluster-size", type=numbers(Number(int, "[2, inf)")), default=[3, 5, 8, 12, 20]
    )
    parser.add_argument("--min-samples", type=numbers(COUNT), default=[1, 2, 3, 5, 8])
    add_algorithm_options(parser)
    add_outliers_option(parser, "nearest")
    options = parser.parse_args()

    print(f"Trying settings on {options.embeddings}, seed {options.seed}", flush=True)
    graph, _, speakers = read_input(options, vars(options))
    gold = np.unique(speakers, return_inverse=True)[1] if speakers else None
    sizes, samples = options.min_cluster_size, options.min_samples
    metric = make_graph(graph, options, sizes[-1], samples[-1])

    def settle(labels: np.ndarray) -> np.ndarray:
        if options.outliers != "nearest":
            return labels
        means = cluster_means(graph.vectors(), labels)
        return nearest_clusters(graph, labels, means, options.metric)

    rows = []
    for min_samples in samples:
        linkage = single_linkage(utterance_tree(graph, min_samples, metric))
        for min_cluster_size in sizes:
            settings = hdbscan_settings(options, min_cluster_size, min_samples)
            found = tree_clusters(linkage, settings)
            row = {"min_cluster_size": min_cluster_size, "min_samples": min_samples}
            rows.append(row | point(found, gold, settle))
            print(
                *(f"{name} {value:.4g}" for name, value in rows[-1].items()), sep="  ", flush=True
            )
    shown = ("ari", "pairwise_f1", "clusters") if speakers else ("clusters", "stability")
    with atomic_write(options.out / "grid.png", "wb") as file:
        file.write(picture(rows, shown))
    with atomic_write(options.out / "grid.tsv") as file:
        print(*rows[0], sep="\t", file=file)
        for row in rows:
            print(*(f"{value:.6g}" for value in row.values()), sep="\t", file=file)


if __name__ == "__main__":
    run_program(main)
