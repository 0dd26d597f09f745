"""Pictures of features, rows over time and the windows of a training step, as PNG contents."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from unspeech.evaluation.plot_style import BLUE, INK, ORANGE, png, styled
from unspeech.network.config import Config
from unspeech.training.sampling import Batch


@styled
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
    return png(figure)


@styled
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
    return png(figure)


@styled
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
    return png(figure)


@styled
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
    return png(figure)


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
