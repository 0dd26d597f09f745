"""Let new utterances join an existing clustering, which stays as it is.

    python3 -m unspeech.assign --embeddings exp/embeddings/new --clusters exp/clusters/demo \\
        --out exp/clusters/new

Of HDBSCAN, a new utterance joins the cluster of the member that it reaches most easily, unless the
cluster had not split from others yet at that distance: then it is an outlier. Of DBSCAN, it joins
the cluster of the nearest core within `--dbscan-eps`; of k-means, that of the nearest mean.
Where somebody has listened, clusters are the speakers that they are by now; none joins those of
nobody.
Source: McInnes, Healy, Astels, "hdbscan", JOSS 2017: its `approximate_predict`.
"""

from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import Number
from unspeech.clustering.assignment import assign, assign_to_cores
from unspeech.clustering.directory import (
    OUTLIER,
    cluster_means,
    cluster_name,
    nearest_clusters,
    read_clustering,
    read_input,
    speakers_of_clusters,
    write_clusters,
)
from unspeech.clustering.graph import Graph
from unspeech.clustering.options import add_outliers_option, add_threads_option, clusters_parser


def main() -> None:
    parser = clusters_parser(__doc__)
    parser.add_argument("--clusters", required=True, type=Path, help="existing clusters directory")
    parser.add_argument(
        "--min-probability",
        type=Number(float, "[0, 1]"),
        default=0.0,
        help="an utterance whose probability is lower is an outlier",
    )
    add_outliers_option(parser, "own")
    add_threads_option(parser)
    options = parser.parse_args()

    if options.out.resolve() == options.clusters.resolve():
        raise UnspeechError(f"{options.out}: --out must not be the existing clustering")
    summary, members = read_clustering(options.clusters)
    settings = summary["settings"]
    if (members["labels"] == OUTLIER).all():
        raise UnspeechError(f"{options.clusters}: it has no clusters that could be joined")
    graph = Graph(options.clusters / "graph", options.threads)
    new, utterances, gold = read_input(options, settings)
    dims = new.vectors().shape[1], graph.vectors().shape[1]
    if dims[0] != dims[1]:
        raise UnspeechError(
            f"{options.embeddings}: dimension {dims[0]}, but {dims[1]} in {options.clusters}; "
            "embed with the same model"
        )
    means = cluster_means(graph.vectors(), members["labels"])
    if settings["cluster_algorithm"] == "kmeans":
        nowhere = np.full(len(utterances), OUTLIER)
        labels = nearest_clusters(new, nowhere, means, "euclidean")
        probabilities = np.ones(len(utterances))
    elif settings["cluster_algorithm"] == "DBSCAN":
        labels, probabilities = assign_to_cores(graph, members, new, settings)
    else:
        labels, probabilities = assign(graph, members, new, settings)
    unsure = probabilities < options.min_probability
    speakers = speakers_of_clusters(options.clusters)
    if speakers is not None:
        ids = [cluster_name(number, summary["clusters"]) for number in range(summary["clusters"])]
        unsure |= np.isin(labels, [i for i, name in enumerate(ids) if name not in speakers])
    labels[unsure], probabilities[unsure] = OUTLIER, 0
    nearest = nearest_clusters(new, labels, means, settings["metric"])
    own = {name: value for name, value in vars(options).items() if name != "threads"}
    write_clusters(
        *(options.out, utterances, labels, nearest, probabilities),
        *(summary["clusters"], settings | own, gold),
        first_outlier=summary["outliers"],
        speakers=speakers,
    )


if __name__ == "__main__":
    run_program(main)
