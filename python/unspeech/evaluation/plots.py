"""Pictures, as PNG files' contents, all in one style.

Source of the colours: M. Okabe, K. Ito, "Color Universal Design", 2008: they differ for
colour-blind eyes, too.
"""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri

from unspeech.evaluation.scores import Trials, detection_costs
from unspeech.network.config import Config
from unspeech.training.sampling import Batch

BLUE, ORANGE = "#0072b2", "#d55e00"
COLOURS = [BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b8ac1f"]
MARKERS = "os^vDP*X"
INK, FAINT = "#333333", "#8a8a8a"
NAMED = 16  # groups that a legend has room for
BARS = 80  # clusters that are told apart as bars

_styled = matplotlib.rc_context(
    {
        "figure.dpi": 200,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
    }
)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


@_styled
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
    return _png(figure)


@_styled
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
        shares = np.histogram(values, edges, weights=counts)[0] / counts.sum() * 100
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.3)
        axes.stairs(shares, edges, color=colour, lw=1.4, label=f"{label}, n = {counts.sum():,}")
    axes.axvline(1 - eer_threshold, color=INK, ls="--", lw=1, label="threshold of the EER")
    axes.set(xlabel=f"1 - {score} of two utterances", ylabel="pairs of each kind, %")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2, fontsize=8)
    return _png(figure)


@_styled
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
    return _png(figure)


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


@_styled
def over_time(
    panels: list[tuple[str, np.ndarray, float]], boundaries: list[float], title: str
) -> bytes:
    """Features and embeddings of an utterance, one above the other on one axis of time.

    Args:
        panels: (name, (rows, dim), seconds from one row to the next) of each.
        boundaries: seconds at which to draw a line.
        title: of the picture.
    """
    figure = Figure(figsize=(8, 0.8 + 1.9 * len(panels)))
    end = max(len(rows) * step for _, rows, step in panels)
    every = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, rows, step) in zip(every, panels, strict=True):
        image = _over_time(axes, rows, step)
        figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
        for boundary in boundaries:
            axes.axvline(boundary, color="white", lw=0.7, ls="--")
        axes.set(ylabel="dimension", xlim=(0, end))
        axes.set_title(name)
    every[-1].set_xlabel("seconds")
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    return _png(figure)


@_styled
def dimensions(means: np.ndarray, title: str) -> bytes:
    """Mean magnitude of each dimension, in order and sorted.

    Args:
        means: (dim,).
        title: of the picture.
    """
    figure = Figure(figsize=(6, 3.4))
    axes = figure.subplots()
    axes.bar(np.arange(len(means)), means, width=1, color=BLUE, alpha=0.6, label="by dimension")
    axes.step(
        np.arange(len(means)), np.sort(means)[::-1], where="mid", color=ORANGE, label="sorted"
    )
    axes.set(xlabel="dimension", ylabel="mean magnitude", xlim=(-0.5, len(means) - 0.5))
    axes.set_title(title)
    axes.legend(fontsize=8)
    return _png(figure)


@_styled
def filters(kernel: np.ndarray, rate: int) -> bytes:
    """Learnt filters: their frequency responses in order of the peak, and some in time.

    Args:
        kernel: (samples, filters).
        rate: samples a second.
    """
    gains = np.abs(np.fft.rfft(kernel, 4 * len(kernel), axis=0))
    order = np.argsort(np.argmax(gains, axis=0), kind="stable")
    level = 20 * np.log10(gains / gains.max(axis=0) + 1e-6)[:, order]
    shown = order[np.linspace(0, len(order) - 1, min(8, len(order))).astype(int)]
    figure = Figure(figsize=(8, 4.2))
    left, right = figure.subplots(1, 2)
    left.grid(False)
    image = left.imshow(
        level, origin="lower", aspect="auto", cmap="viridis", vmin=-40, interpolation="none",
        extent=(-0.5, len(order) - 0.5, 0, rate / 2),
    )  # fmt: skip
    figure.colorbar(image, ax=left, pad=0.01, label="dB below the peak")
    left.set(xlabel="filter, by its peak", ylabel="Hz")
    left.set_title("frequency responses")
    milliseconds = 1000 * np.arange(len(kernel)) / rate
    for place, number in enumerate(shown):
        wave = kernel[:, number] / np.abs(kernel[:, number]).max()
        right.plot(milliseconds, 0.45 * wave + place, color=BLUE, lw=0.5)
    peaks = np.argmax(gains, axis=0)[shown] * rate / (4 * len(kernel))
    right.set_yticks(range(len(shown)), [f"{peak:,.0f} Hz" for peak in peaks])
    right.set(xlabel="ms", xlim=(0, milliseconds[-1]))
    right.set_title("impulse responses of some")
    return _png(figure)


@_styled
def sampled_batch(batch: Batch, config: Config, title: str) -> bytes:
    """What a training step sees: a draw's windows side by side, then positive and negative pairs.

    Windows are in order of time where contexts are adjacent.
    """

    def cut(windows: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        return [window[:length] for window, length in zip(windows, lengths, strict=True)]

    targets = cut(batch.targets, batch.target_lengths)
    flat = batch.contexts.reshape(-1, *batch.contexts.shape[2:])
    contexts = cut(flat, batch.context_lengths.ravel())
    row = contexts[: config.contexts]
    pairs = {
        "positive": [(targets[0], context) for context in row],
        "negative": [
            (batch.negative_target(i), contexts[j])
            for i, j in enumerate(batch.negatives[: config.negative_samples, 1])
        ],
    }
    names = [f"context {i}" for i in range(1, len(row) + 1)]
    place = config.left_contexts - config.left_gap
    row.insert(place, targets[0])
    names.insert(place, "target")

    count = max(map(len, pairs.values()))
    figure = Figure(figsize=(8, 2.4 + 1.15 * count))
    places = [["row", "row"], *([f"{kind} {i}" for kind in pairs] for i in range(count))]
    panels = figure.subplot_mosaic(places, height_ratios=[1.6, *[1] * count])
    _windows(panels["row"], row, names)
    for kind, own in pairs.items():
        for i in range(count):
            if i < len(own):
                _windows(panels[f"{kind} {i}"], own[i])
            else:
                panels[f"{kind} {i}"].set_axis_off()
        if own:
            panels[f"{kind} 0"].set_title(f"{kind} pairs: target, context")
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    return _png(figure)


def _windows(axes: Axes, windows: Sequence[np.ndarray], names: Sequence[str] = ()) -> None:
    """Draw windows one after the other, a line between any two, names above them."""
    frames = np.concatenate(windows)
    _over_time(axes, frames)
    ends = np.cumsum([len(window) for window in windows])
    for end in ends[:-1]:
        axes.axvline(end, color="white" if frames.shape[1] > 1 else INK, lw=1.5)
    axes.set(yticks=[], xticks=[])
    for name, window, end in zip(names, windows, ends, strict=False):
        at = (end - len(window) / 2, 1)
        axes.annotate(
            name, at, (0, 3), axes.get_xaxis_transform(), "offset points", ha="center", fontsize=8
        )


def _over_time(axes: Axes, frames: np.ndarray, step: float = 1.0) -> AxesImage | None:
    """Draw (frames, dim) as an image, or as a line if they are samples.

    Args:
        step: from one frame to the next, in units of the horizontal axis.
    """
    axes.grid(False)
    end = step * len(frames)
    if frames.shape[1] == 1:
        axes.plot(np.arange(len(frames)) * step, frames[:, 0], color=BLUE, lw=0.4)
        axes.set_xlim(0, end)
        return None
    return axes.imshow(
        frames.T, origin="lower", aspect="auto", cmap="viridis", interpolation="none",
        extent=(0, end, -0.5, frames.shape[1] - 0.5),
    )  # fmt: skip


@_styled
def training_curves(log: list[dict], curves: list[tuple[str, str]], unit: str) -> bytes:
    """Values of `train_log.jsonl` against steps.

    Args:
        log: its lines.
        curves: (key, label) of each line; keys that no line has are left out.
        unit: what the vertical axis shows.
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
    axes.set(xlabel="step", ylabel=unit)
    axes.legend(fontsize=8)
    return _png(figure)


@_styled
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
    return _png(figure)
