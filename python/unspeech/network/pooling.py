"""Statistics pooling: what frames are like over a stretch of time, from sums that add up.

Mean and standard deviation of each channel, standard deviation of its change from frame to frame,
and how channels go together: correlations of a projection of them. All of it follows from sums over
frames. Sums of two stretches are those of both together, so a window is the difference of two
running sums, and an utterance or a speaker is pooled as exactly as a window.
Source: Snyder et al. 2018, "X-vectors", for mean and standard deviation; Stafylakis,
Rohdin and Burget 2021, "Speaker embeddings by modeling channel-wise correlations".
"""

import numpy as np

from unspeech.cli.errors import UnspeechError

STATISTICS = ("mean", "deviation", "difference", "correlation")
VARIANCE_FLOOR = 1e-6  # of a variance: digital silence has none
CORRELATION_FLOOR = 1e-4  # larger, so that rounding errors do not look like correlation


def cosine_transform(channels: int, dim: int) -> np.ndarray:
    """(dim, channels) projection of log-FBANK to its first cepstra, the first being loudness."""
    # Imported here, as it takes long, and settings are checked without it.
    from scipy.fft import dct

    return dct(np.eye(dim), norm="ortho", axis=1)[:, :channels]


def statistics_named(text: str, source: object) -> tuple[str, ...]:
    """The statistics of a setting, `mean,deviation`.

    Raises:
        UnspeechError: for a name that there is not, one that occurs twice, or none at all.
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(set(names)) < len(names) or not set(names) <= set(STATISTICS):
        raise UnspeechError(
            f"{source}: pooling is '{text}'; it can be some of {','.join(STATISTICS)}"
        )
    return names


class StatisticsPooling:
    """Pools frames by their sums.

    Attributes:
        width: of the pooled values.
        sums_width: of the sums.

    Args:
        dim: of a frame.
        names: some of `STATISTICS`.
        projection: (dim, channels) for the correlations.
    """

    def __init__(self, dim: int, names: tuple[str, ...], projection: np.ndarray) -> None:
        self.dim, self.names = dim, names
        self._projection = projection.astype(np.float64)
        channels = projection.shape[1]
        self._pairs = np.triu_indices(channels)  # the variances among them
        self._different = self._pairs[0] != self._pairs[1]
        correlated = "correlation" in names
        self._products = len(self._pairs[0]) * correlated
        self.sums_width = 2 + 4 * dim + self._products
        self.width = dim * sum(n in names for n in STATISTICS[:3])
        self.width += correlated * int(self._different.sum())

    def sums(self, frames: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Sum over the stretches between edges.

        Args:
            frames: (frames, dim) of one utterance from its beginning.
            edges: (stretches + 1,) frame numbers, strictly increasing; stretch i is
                frames[edges[i] : edges[i + 1]]. A frame's change is that from the frame before it,
                even if that is in another stretch; the first frame of all has none.
        Returns:
            (stretches, sums_width) float64: frames, changes, then sums of channels, their squares,
            changes, their squares, and products of the projections.
        """
        frames = frames.astype(np.float64)
        first, last = edges[0], edges[-1]
        starts = edges[:-1] - first
        changes = np.diff(frames[max(first - 1, 0) : last], axis=0)
        if first == 0:
            changes = np.concatenate([np.zeros((1, self.dim)), changes])
        own = frames[first:last]
        out = np.empty((len(starts), self.sums_width))
        out[:, 0] = np.diff(edges)
        out[:, 1] = out[:, 0] - (edges[:-1] == 0)
        place = 2
        for part in (own, own * own, changes, changes * changes):
            out[:, place : place + self.dim] = np.add.reduceat(part, starts, axis=0)
            place += self.dim
        if self._products:
            projected = own @ self._projection
            # One product of matrices a stretch is much quicker than products of every frame.
            lengths = np.diff(edges)
            for length in np.unique(lengths):
                which = np.flatnonzero(lengths == length)
                blocks = projected[starts[which][:, None] + np.arange(length)]
                squares = blocks.transpose(0, 2, 1) @ blocks
                out[which, place:] = squares[:, self._pairs[0], self._pairs[1]]
        return out

    def means(self, sums: np.ndarray) -> np.ndarray:
        """(…, sums_width) to (…, dim) float64 mean of each channel."""
        return sums[..., 2 : 2 + self.dim] / np.maximum(sums[..., :1], 1e-9)

    def values(self, sums: np.ndarray) -> np.ndarray:
        """Pool: (…, sums_width) to (…, width) float64."""
        dim = self.dim
        counts = np.maximum(sums[..., :1], 1e-9)
        changes = np.maximum(sums[..., 1:2], 1.0)
        mean = self.means(sums)
        parts = []
        if "mean" in self.names:
            parts.append(mean)
        if "deviation" in self.names:
            square = sums[..., 2 + dim : 2 + 2 * dim] / counts
            parts.append(np.sqrt(np.maximum(square - mean * mean, 0) + VARIANCE_FLOOR))
        if "difference" in self.names:
            change = sums[..., 2 + 2 * dim : 2 + 3 * dim] / changes
            square = sums[..., 2 + 3 * dim : 2 + 4 * dim] / changes
            parts.append(np.sqrt(np.maximum(square - change * change, 0) + VARIANCE_FLOOR))
        if "correlation" in self.names:
            left, right = self._pairs
            projected = mean @ self._projection
            covariance = sums[..., 2 + 4 * dim :] / counts
            covariance = covariance - projected[..., left] * projected[..., right]
            variance = np.maximum(covariance[..., ~self._different], 0) + CORRELATION_FLOOR
            scale = 1 / np.sqrt(variance)
            parts.append((covariance * scale[..., left] * scale[..., right])[..., self._different])
        return np.concatenate(parts, axis=-1)
