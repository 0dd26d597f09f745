"""Pictures, as PNG files' contents, all in one style.

Source of the colours: M. Okabe, K. Ito, "Color Universal Design", 2008: they differ for
colour-blind eyes, too.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri

from unspeech.evaluation.plot_style import BLUE, COLOURS, FAINT, INK, MARKERS, ORANGE, png, styled
from unspeech.evaluation.scores import Trials, detection_costs

NAMED = 16  # groups that a legend has room for
BARS = 80  # clusters that are told apart as bars


@styled
def det_curve(trials: Trials, eer: float, min_dcf: float, score: str) -> bytes:
    """Misses against false alarms on normal deviate axes, EER (percent) and minDCF marked.

    Source: A. Martin et al., "The DET curve in assessment of detection task performance",
    Eurospeech 1997.
    """
    misses, alarms = trials.error_rates()
    cheapest = int(np.argmin(detection_costs(trials)))
    least = np.clip(0.5 / min(trials.targets.sum(), trials.nontargets.sum()), 1e-4, 5e-3)
    most = np.clip(max(0.5, 1.3 * eer / 100, misses[cheapest] + 0.02), None, 0.99)

    def deviate(rates):
        return ndtri(np.clip(rates, least, 1 - 1e-9))

    # Millions of points make no better curve than those that differ on the page.
    x, y = np.unique(np.round([deviate(alarms), deviate(misses)], 3), axis=1)[:, ::-1]
    order = np.lexsort((-y, x))
    figure = Figure(figsize=(4.6, 4.8))
    axes = figure.subplots()
    chance = np.linspace(1 - most, most, 200)
    axes.plot(ndtri(chance), ndtri(1 - chance), ":", color=FAINT, lw=1.2, label="chance")
    axes.plot(x[order], y[order], color=BLUE, label=f"{score} of two utterances")
    axes.plot(
        *[deviate(eer / 100)] * 2, "o", color=ORANGE, ms=7, clip_on=False, label=f"EER {eer:.1f} %"
    )
    point = ndtri(np.clip([alarms[cheapest], misses[cheapest]], least, most))
    axes.plot(*point, "D", color="#009e73", ms=6, clip_on=False, label=f"minDCF {min_dcf:.3f}")
    wide = [0.01, 0.1, 1, 5, 20, 50, 80, 95, 99]
    ticks = np.array(wide if most > 0.6 else [0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40])
    ticks = ticks[(ticks >= 100 * least) & (ticks <= 100 * most)]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ndtri(ticks / 100), [f"{tick:g}" for tick in ticks])
    limits = ndtri([least, most])
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.set_xlabel("false alarms: different speakers accepted, %")
    axes.set_ylabel("misses: same speaker rejected, %")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2, fontsize=8)
    return png(figure)


@styled
def distances(trials: Trials, eer_threshold: float, score: str) -> bytes:
    """Distribution of the distances, 1 - score, of same-speaker and different-speaker pairs."""
    values = 1 - trials.scores
    edges = np.linspace(values.min() - 0.02, values.max() + 0.02, 81)
    figure = Figure(figsize=(5.2, 3.4))
    axes = figure.subplots()
    kinds = [
        ("same speaker", trials.targets, BLUE),
        ("different speakers", trials.nontargets, ORANGE),
    ]
    for label, counts, colour in kinds:
        percentages = np.histogram(values, edges, weights=counts)[0] / counts.sum() * 100
        axes.stairs(percentages, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(
            percentages, edges, color=colour, lw=1.4, label=f"{label}, n = {counts.sum():,}"
        )
    axes.axvline(1 - eer_threshold, color=INK, ls="--", lw=1, label="threshold of the EER")
    axes.set(xlabel=f"1 - {score} of two utterances", ylabel="pairs of each kind, %")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2, fontsize=8)
    return png(figure)


@styled
def tsne(points: np.ndarray, gold: np.ndarray, clusters: np.ndarray | None, title: str) -> bytes:
    """Utterances in the plane, coloured by speaker and, beside it, by cluster.

    Args:
        points: (utterances, 2).
        gold: (utterances,) speakers.
        clusters: (utterances,) clusters, "" for outliers; None: no clustering, one panel.
    """
    figure = Figure(figsize=(4.6 if clusters is None else 9, 5))
    panels = np.atleast_1d(figure.subplots(1, 1 if clusters is None else 2))
    speakers = sorted(set(gold.tolist()))
    _scatter(panels[0], points, gold, speakers, "true speaker")
    if clusters is not None:
        _scatter(panels[1], points, clusters, _matched(gold, speakers, clusters), "cluster")
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    return png(figure)


def _matched(gold: np.ndarray, speakers: list[str], clusters: np.ndarray) -> list[str]:
    """Clusters, each at the place of the speaker that it matches best, the others behind."""
    names, index = np.unique(clusters[clusters != ""], return_inverse=True)
    table = np.zeros((len(speakers), len(names)), np.int64)
    np.add.at(table, (np.searchsorted(speakers, gold[clusters != ""]), index), 1)
    places = dict(zip(*linear_sum_assignment(table, maximize=True), strict=True))
    matched = [names[places[i]] if i in places else "" for i in range(len(speakers))]
    return matched + [name for name in names if name not in matched]


def _scatter(
    axes: Axes, points: np.ndarray, groups: np.ndarray, order: list[str], kind: str
) -> None:
    """Draw each group with the colour and marker of its place in `order`; "" is no group."""
    named = len(order) <= NAMED
    for place, group in enumerate(order):
        own = points[groups == group]
        if group == "" or not len(own):
            continue
        axes.scatter(
            *own.T,
            s=14,
            lw=0,
            alpha=0.85,
            color=COLOURS[place % len(COLOURS)],
            marker=MARKERS[place // len(COLOURS) % len(MARKERS)],
            label=f"{group} ({len(own)})" if named else None,
        )
    alone = points[groups == ""]
    if len(alone):
        axes.scatter(
            *alone.T, s=12, lw=0.7, color=FAINT, marker="x", label=f"outliers ({len(alone)})"
        )
    count = len([group for group in order if group])
    axes.set_title(f"coloured by {kind}: {count:,} in this picture")
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    axes.margins(0.04)
    if named or len(alone):
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=4, fontsize=7,
            handletextpad=0.1, columnspacing=1.0,
        )  # fmt: skip


@styled
def training_curves(log: list[dict], curves: list[tuple[str, str]], label: str) -> bytes:
    """Values of `train_log.jsonl` against steps.

    Args:
        log: its lines.
        curves: (key, label) of each line; keys that no line has are left out.
        label: what the vertical axis shows.
    """
    figure = Figure(figsize=(5.2, 3.4))
    axes = figure.subplots()
    for (key, label), style in zip(
        curves, [(BLUE, "-"), (ORANGE, "-"), (FAINT, ":")], strict=False
    ):
        rows = [(line["step"], line[key]) for line in log if key in line]
        if rows:
            mark = "o" if len(rows) < 12 and style[1] == "-" else None
            axes.plot(
                *np.transpose(rows), style[1], color=style[0], marker=mark, ms=3.5, label=label
            )
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="step", ylabel=label)
    axes.legend(fontsize=8)
    return png(figure)


@styled
def cluster_sizes(clusters: np.ndarray, speakers: np.ndarray | None) -> bytes:
    """Sizes of clusters by rank, beside those of the gold speakers when there are some.

    Args:
        clusters: (clusters,) utterances of each, outliers left out.
        speakers: (speakers,) utterances of each, or None.
    """
    figure = Figure(figsize=(5.2, 3.4))
    axes = figure.subplots()
    most = max(len(clusters), 0 if speakers is None else len(speakers))
    clusters = np.sort(clusters)[::-1]
    if most <= BARS:
        axes.bar(
            np.arange(1, len(clusters) + 1), clusters, color=BLUE, alpha=0.75, label="clusters"
        )
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    else:
        axes.loglog(np.arange(1, len(clusters) + 1), clusters, color=BLUE, label="clusters")
    if speakers is not None:
        speakers = np.sort(speakers)[::-1]
        ranks = np.arange(1, len(speakers) + 1)
        axes.step(ranks, speakers, where="mid", color=ORANGE, label="true speakers")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="rank", ylabel="utterances")
    axes.set_ylim(bottom=0 if most <= BARS else 0.8)
    axes.legend(fontsize=8)
    return png(figure)
