"""Clusterings of one graph with several settings, compared by figures and in a picture."""

import io
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from unspeech.cli.limits import Number
from unspeech.clustering.directory import OUTLIER
from unspeech.clustering.hierarchy import Clustering
from unspeech.clustering.scores import clustering_scores

SCORES = ("ari", "nmi", "pairwise_f1")


def point(
    found: Clustering, gold: np.ndarray | None, settle: Callable[[np.ndarray], np.ndarray]
) -> dict[str, float]:
    """Figures of one clustering: counts, and scores or mean stability.

    Args:
        gold: (utterances,) speakers, if they are known.
        settle: puts outliers into clusters; those that it leaves are scored as one each.
    """
    labels = found.labels
    alone = labels == OUTLIER
    figures = {"clusters": int(labels.max()) + 1, "outliers": int(alone.sum())}
    if gold is None:
        finite = found.stabilities[np.isfinite(found.stabilities)]
        return figures | {"stability": float(finite.mean()) if finite.size else 0.0}
    grouped = settle(labels)
    left = grouped == OUTLIER
    grouped = np.where(left, len(labels) + np.cumsum(left), grouped)
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
