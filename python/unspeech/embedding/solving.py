"""Solve a head from contexts: the linear map that the paper's objective asks for.

Windows of one recording share a context, windows of different recordings do not. So what differs
within recordings shall count little, and what differs between recordings much. For a linear map the
answer is known: whiten by the covariance within recordings, and lean on the total one, which is
surer. The same sums serve when clusters of utterances are taken for contexts as well, and when the
head is solved again for another corpus.
Source: Milde and Biemann 2018, for contexts; Hatch, Kajarekar and Stolcke 2006, "Within-class
covariance normalization", for the map.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.atomic import atomic_write
from unspeech.files.npz import load_npz
from unspeech.network.model_dir import config_of
from unspeech.network.solved_head import SolvedHead

PAIRS = 256  # recordings of which two windows are kept, to say how well a head tells them apart
_SCALE = 10.0  # of cosines, in the loss of these
SHRINKAGE = 0.03  # how much equal variances stand in for what little speech cannot tell
_ALIKE = 1e-9  # of mean squares: variances below are what rounding leaves
LEAST_CLUSTER = 4  # utterances that make a cluster a context


@dataclass
class ContextSums:
    """What a head is solved from: sums over utterances and recordings, which add up over jobs.

    Attributes:
        utterances: how many.
        total: (width,) sum of the values of utterances.
        total_products: (width, width) sum of their outer products.
        freedom: windows less the recordings that they are of.
        within: (width, width) sum of outer products of windows less the mean of their recording.
        frames: (sums_width,) sums over all frames, where values come from such sums; else empty.
        pairs: (pairs, 2, width) two windows of each of some recordings.
    """

    utterances: int
    total: np.ndarray
    total_products: np.ndarray
    freedom: int
    within: np.ndarray
    frames: np.ndarray
    pairs: np.ndarray

    @classmethod
    def zeros(cls, width: int, sums_width: int) -> "ContextSums":
        """Sums over nothing."""
        square = (width, width)
        return cls(
            0, np.zeros(width), np.zeros(square), 0, np.zeros(square), np.zeros(sums_width),
            np.zeros((0, 2, width)),
        )  # fmt: skip

    def add_utterance(self, values: np.ndarray) -> None:
        """Count the (width,) values of an utterance."""
        self.utterances += 1
        self.total += values
        self.total_products += np.outer(values, values)

    def add_recording(self, windows: np.ndarray) -> None:
        """Count the (windows, width) values of all windows of a recording; of one there is none."""
        if len(windows) < 2:
            return
        deviations = windows - windows.mean(axis=0)
        self.within += deviations.T @ deviations
        self.freedom += len(windows) - 1
        if len(self.pairs) < PAIRS:
            self.pairs = np.concatenate([self.pairs, windows[None, [0, -1]]])

    def __add__(self, other: "ContextSums") -> "ContextSums":
        pairs = np.concatenate([self.pairs, other.pairs])
        few = np.linspace(0, len(pairs) - 1, min(PAIRS, len(pairs))).round().astype(int)
        return ContextSums(
            self.utterances + other.utterances,
            self.total + other.total,
            self.total_products + other.total_products,
            self.freedom + other.freedom,
            self.within + other.within,
            self.frames + other.frames,
            pairs[few],
        )

    def save(self, path: Path) -> None:
        """Write all of it to an .npz file."""
        with atomic_write(path, "wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, path: Path) -> "ContextSums":
        """Read what `save` wrote.

        Raises:
            UnspeechError: when the file is damaged.
        """
        arrays = load_npz(path)
        try:
            sums = cls(**arrays)
        except TypeError as error:
            raise UnspeechError(f"{path}: damaged ({error}); make it again") from None
        return replace(sums, utterances=int(sums.utterances), freedom=int(sums.freedom))

    def mean(self) -> np.ndarray:
        """(width,) mean of the utterances."""
        return self.total / self.utterances

    def total_covariance(self) -> np.ndarray:
        """(width, width) covariance of the utterances.

        Raises:
            UnspeechError: when they are all alike, so that there is nothing but rounding errors.
        """
        products = self.total_products / self.utterances
        covariance = products - np.outer(self.mean(), self.mean())
        if np.all(np.diag(covariance) <= _ALIKE * np.diag(products)):
            raise UnspeechError(
                f"all {self.utterances} utterances are alike, as silence is: nothing can be learnt "
                "from them; use other speech"
            )
        return covariance


def solve_head(sums: ContextSums, total_weight: float, limit: float, dim: int) -> SolvedHead:
    """Solve a head for a corpus.

    Args:
        sums: of the corpus.
        total_weight: of the total covariance; that within recordings has 1.
        limit: see `SolvedHead`.
        dim: of the embedding; 0 for as many as there are values.
    Raises:
        UnspeechError: when the corpus is too small to say what varies.
    """
    if sums.utterances < 2 or sums.freedom < 1:
        raise UnspeechError(
            f"a head needs at least two utterances and one recording of two windows, not "
            f"{sums.utterances} and {sums.freedom}: use more speech"
        )
    total = sums.total_covariance()
    scale = np.sqrt(np.maximum(np.diag(total), 0))
    scale = np.where(scale > 1e-9 * max(scale.max(), 1e-9), scale, 1.0)  # values that never vary
    total = unit_trace(total / np.outer(scale, scale))
    within = unit_trace(sums.within / np.outer(scale, scale))
    # As it is stored, so that adapting the head solves from the very same numbers.
    covariance = shrunk(total_weight * total + within, sums.freedom).astype(np.float32)
    matrix, directions = _map(covariance.astype(np.float64), total, scale, dim)
    return SolvedHead(sums.mean(), matrix, directions, scale, covariance, _prior(sums), limit)


def adapt_head(
    head: SolvedHead,
    sums: ContextSums,
    weight: float,
    clusters: np.ndarray | None = None,
    cluster_weight: float = 0.0,
    dim: int | None = None,
) -> SolvedHead:
    """Solve a head again for another corpus, without labels.

    Args:
        head: of the training corpus, or adapted before, which makes no difference.
        sums: of the other corpus.
        weight: of its covariance within recordings, beside what the head was solved from; 0 takes
            its mean alone, and what varies most in it where `dim` is less than there is.
        clusters: (width, width) covariance within clusters of its utterances.
        cluster_weight: of that.
        dim: of the embedding, at most; 0 for as many as there are values, None for that of the
            head. A few utterances vary in fewer directions; others would be rounding errors.
    """
    outer = np.outer(head.scale, head.scale)
    covariance = head.covariance.astype(np.float64)
    if weight and sums.freedom:
        covariance = covariance + weight * unit_trace(sums.within / outer)
    if clusters is not None:
        covariance = covariance + cluster_weight * unit_trace(clusters / outer)
    total = unit_trace(sums.total_covariance() / outer)
    dim = head.dim if dim is None else min(dim, len(head.mean))
    if 0 < dim < len(head.mean):
        dim = min(dim, max(sums.utterances - 1, 1))
    matrix, directions = _map(covariance, total, head.scale, dim)
    return replace(head, mean=sums.mean(), matrix=matrix, directions=directions, prior=_prior(sums))


def unit_trace(covariance: np.ndarray) -> np.ndarray:
    """Scale a covariance so that its variances are 1 on average; of nothing but zeros, zeros."""
    trace = np.trace(covariance)
    return covariance * (len(covariance) / trace) if trace > 0 else covariance


def shrunk(covariance: np.ndarray, freedom: int) -> np.ndarray:
    """Mix a covariance with equal variances, the more the fewer windows it comes from.

    With fewer windows than values, directions that none of them showed would count the most. It
    fades with the square of their ratio: hours of speech need none of it.

    Args:
        covariance: (width, width).
        freedom: windows less recordings.
    """
    width = len(covariance)
    weight = SHRINKAGE * (width / freedom) ** 2
    even = np.eye(width) * (np.trace(covariance) / width)
    return (covariance + weight * even) / (1 + weight)


def _prior(sums: ContextSums) -> np.ndarray:
    return sums.frames / max(sums.frames[0], 1.0) if len(sums.frames) else sums.frames


def _map(
    covariance: np.ndarray, total: np.ndarray, scale: np.ndarray, dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """`matrix` and `directions` of `SolvedHead`, float32."""
    width = len(covariance)
    if dim > width:
        raise UnspeechError(
            f"embedding_size is {dim}, but the head has {width} values to make it from; set it to "
            f"{width} at most, or to 0 for all"
        )
    variances, axes = np.linalg.eigh(covariance)
    root = (axes / np.sqrt(np.maximum(variances, 1e-6 * variances[-1]))) @ axes.T
    directions = np.zeros((width, 0))
    if 0 < dim < width:
        directions = np.linalg.eigh(root @ total @ root)[1][:, : -dim - 1 : -1]
        # The sign of an eigenvector is the library's choice.
        largest = np.abs(directions).argmax(axis=0)
        directions = directions * np.sign(directions[largest, np.arange(dim)])
    return (root / scale[:, None]).astype(np.float32), directions.astype(np.float32)


def covariance_within(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Covariance of utterances about the mean of their cluster.

    Args:
        values: (utterances, width), may be a mapped file.
        labels: (utterances,) number of each one's cluster, or -1 for none. Clusters of fewer than
            four do not count.
        weights: (utterances,) how surely each belongs to it.
    Returns:
        (width, width) float64; zeros when no cluster counts.
    """
    width = values.shape[1]
    order = np.argsort(labels, kind="stable")
    bounds = np.flatnonzero(np.diff(labels[order])) + 1
    covariance, freedom = np.zeros((width, width)), 0.0
    for members in np.split(order, bounds):
        if labels[members[0]] < 0 or len(members) < LEAST_CLUSTER:
            continue
        own, weight = values[members].astype(np.float64), weights[members, None]
        deviations = own - (weight * own).sum(axis=0) / weight.sum()
        covariance += (weight * deviations).T @ deviations
        freedom += weight.sum() - 1
    return covariance / freedom if freedom > 0 else covariance


def tell_apart(head: SolvedHead, pairs: np.ndarray) -> tuple[float, float]:
    """How well a head finds the other window of the same recording among those of all.

    Args:
        pairs: (recordings, 2, width).
    Returns:
        loss (cross-entropy of ten times the cosines) and fraction found, as `infonce` reports them.
    """
    embedded = head(pairs).astype(np.float64)
    embedded /= np.maximum(np.linalg.norm(embedded, axis=-1, keepdims=True), 1e-9)
    logits = _SCALE * embedded[:, 0] @ embedded[:, 1].T
    logits -= logits.max(axis=1, keepdims=True)
    loss = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
    found = (logits.argmax(axis=1) == np.arange(len(logits))).mean()
    return float(loss.mean()), float(found)


def stored_arrays(directory: Path) -> list[np.ndarray]:
    """The weights of a model's network, as its id takes them; none without a network."""
    if not config_of(directory).has_network:
        return []
    # Imported here, as it takes seconds, and models without a network do not need it.
    from unspeech.network.model import arrays_of, load_model

    return list(arrays_of(load_model(directory)))
