"""Cluster with several settings on one graph of neighbours, and compare.

    python3 -m unspeech.cluster_grid --embeddings exp/embeddings/demo --out exp/clusters/demo \\
        --min-cluster-size 3,5,10 --min-samples 1,2,5

Leaves `grid.png` and `grid.tsv`, a line a setting: with gold speakers (`--utt2spk`) their scores,
without the stability of clusters, 0 to 1 each, on average.
"""

import io
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from unspeech.cli.errors import run_program
from unspeech.cli.limits import COUNT, Number
from unspeech.clustering.algorithms import (
    add_algorithm_options,
    hdbscan_clusters,
    hdbscan_settings,
    make_graph,
)
from unspeech.clustering.directory import OUTLIER, clusters_parser, read_input
from unspeech.clustering.hierarchy import Clustering, single_linkage
from unspeech.evaluation.scores import clustering_scores
from unspeech.kaldi.tables import atomic_write

SCORES = ("ari", "nmi", "pairwise_f1")


def point(found: Clustering, gold: np.ndarray | None) -> dict[str, float]:
    """Figures of one clustering: counts, and scores or mean stability."""
    labels = found.labels
    alone = labels == OUTLIER
    figures = {"clusters": int(labels.max()) + 1, "outliers": int(alone.sum())}
    if gold is None:
        finite = found.stabilities[np.isfinite(found.stabilities)]
        return figures | {"stability": float(finite.mean()) if finite.size else 0.0}
    grouped = labels.copy()
    grouped[alone] = len(labels) + np.arange(alone.sum())
    scores = clustering_scores(gold, grouped, figures["outliers"])
    return figures | {name: scores[name] for name in SCORES}


def picture(rows: list[dict], shown: tuple[str, ...]) -> bytes:
    """A PNG with one map a figure: min_samples across, min_cluster_size down."""
    across = sorted({row["min_samples"] for row in rows})
    down = sorted({row["min_cluster_size"] for row in rows})
    figure = Figure(figsize=(1.5 + 2.8 * len(shown), 1.2 + 0.45 * len(down)), dpi=150)
    for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        values = np.empty((len(down), len(across)))
        for row in rows:
            values[down.index(row["min_cluster_size"]), across.index(row["min_samples"])] = row[
                name
            ]
        axes.imshow(values, aspect="auto", cmap="viridis")
        middle = (values.min() + values.max()) / 2
        for (i, j), value in np.ndenumerate(values):
            text = f"{value:.0f}" if name in ("clusters", "outliers") else f"{value:.3f}"
            colour = "white" if value <= middle else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color=colour)
        axes.set_title(name)
        axes.set_xticks(range(len(across)), across)
        axes.set_yticks(range(len(down)), down)
        axes.set_xlabel("min_samples")
        axes.set_ylabel("min_cluster_size")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def numbers(each: Number) -> Callable[[str], list[int]]:
    """Comma-separated lists of numbers, as the type of an option."""
    return lambda text: sorted({each(word) for word in text.split(",")})


def main() -> None:
    parser = clusters_parser(__doc__)
    parser.add_argument(
        "--min-cluster-size", type=numbers(Number(int, "[2, inf)")), default=[3, 5, 8, 12, 20]
    )
    parser.add_argument("--min-samples", type=numbers(COUNT), default=[1, 2, 3, 5, 8])
    add_algorithm_options(parser)
    options = parser.parse_args()

    print(f"Trying settings on {options.embeddings}, seed {options.seed}", flush=True)
    graph, _, speakers = read_input(options, vars(options))
    gold = np.unique(speakers, return_inverse=True)[1] if speakers else None
    sizes, samples = options.min_cluster_size, options.min_samples
    metric = make_graph(graph, options, sizes[-1], samples[-1])
    rows = []
    for min_samples in samples:
        linkage = None if metric else single_linkage(graph, min_samples)
        for min_cluster_size in sizes:
            settings = hdbscan_settings(options, min_cluster_size, min_samples)
            found = hdbscan_clusters(graph, settings, metric, linkage)
            row = {"min_cluster_size": min_cluster_size, "min_samples": min_samples}
            rows.append(row | point(found, gold))
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
