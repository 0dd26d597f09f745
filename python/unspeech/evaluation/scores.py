"""Figures that say how well embeddings and clusters separate speakers. Pure functions.

Source: L. Hubert, P. Arabie, "Comparing partitions", Journal of Classification 2, 1985 (ARI);
the NIST 2019 speaker recognition evaluation plan (minDCF); Kaldi's `src/ivectorbin/compute-eer.cc`;
P. Matějka et al., "Analysis of score normalization in multilingual speaker recognition",
Interspeech 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

EXACT_UTTERANCES = 3_000  # up to here every score of a pair is kept as it is
BINNED_UTTERANCES = 50_000  # up to here all pairs are scored, and counted in bins of their score
BINS = 2**20  # of scores, of cosines from -1 to 1
SAMPLED_TRIALS = 5_000_000  # of each kind, for still more utterances
BLOCK = 2048  # utterances; a block of scores then takes 16 MB
P_TARGET = 0.01  # of minDCF, with both costs 1


@dataclass(frozen=True)
class Trials:
    """Scores of pairs of utterances, as counts.

    Attributes:
        scores: (values,) cosines that occur, or what they are normalised to, rising.
        targets: (values,) int64, same-speaker pairs of each score.
        nontargets: (values,) int64, different-speaker pairs of each score.
        sampled: whether the pairs are a sample, not all.
        resolution: width of the bins that scores were rounded to; 0 when they are exact. Scores
            other than cosines have wider ones far from the median.
    """

    scores: np.ndarray
    targets: np.ndarray
    nontargets: np.ndarray
    sampled: bool = False
    resolution: float = 0.0

    def error_rates(self) -> tuple[np.ndarray, np.ndarray]:
        """(values + 1,) misses and false alarms when scores of at least scores[i] are accepted.

        The last accept none.
        """
        misses = np.concatenate([[0], np.cumsum(self.targets)]) / self.targets.sum()
        rejected = np.concatenate([[0], np.cumsum(self.nontargets)])
        return misses, 1 - rejected / rejected[-1]


def adaptive_sides(
    vectors: np.ndarray, cohort: np.ndarray, top_n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors whose dot products are cosines after adaptive symmetric score normalisation.

    The score of a pair is the mean of (s - μ₁) / σ₁ and (s - μ₂) / σ₂, where s is its cosine and μ
    and σ are mean and standard deviation of an utterance's cosines with its nearest of the cohort.

    Args:
        vectors: (utterances, dim) float32 of unit length.
        cohort: (others, dim) float32 of unit length, of other speakers if possible.
        top_n: how many of the cohort count, the nearest ones; all if it has fewer.
    Returns:
        two (utterances, 2 * dim + 2) float32, for the first and the second of a pair.
    Raises:
        ValueError: when a standard deviation is zero, as with a cohort of one.
    """
    first = max(0, len(cohort) - top_n)
    means, deviations = np.empty((2, len(vectors), 1), np.float32)
    for start in range(0, len(vectors), BLOCK):
        rows = slice(start, start + BLOCK)
        nearest = np.partition(vectors[rows] @ cohort.T, first, axis=1)[:, first:]
        means[rows] = nearest.mean(axis=1, keepdims=True)
        deviations[rows] = nearest.std(axis=1, keepdims=True)
    if not (deviations > 0).all():
        raise ValueError("a standard deviation is zero: use a larger cohort, of different vectors")
    slopes, shifts, ones = 0.5 / deviations, -0.5 * means / deviations, np.ones_like(means)
    return (
        np.concatenate([slopes * vectors, vectors, shifts, ones], axis=1),
        np.concatenate([vectors, slopes * vectors, ones, shifts], axis=1),
    )


def euclidean_sides(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors whose dot products are 1 - d² / 2, where d is the Euclidean distance of a pair.

    That is the cosine if vectors have unit length.

    Args:
        vectors: (utterances, dim) float32.
    Returns:
        two (utterances, dim + 2) float32, for the first and the second of a pair.
    """
    vectors = vectors - np.median(vectors, axis=0)  # for precision; a mean could be anywhere
    shifts = (1 - np.square(vectors).sum(axis=1, keepdims=True)) / 2
    ones = np.ones_like(shifts)
    return (
        np.concatenate([vectors, shifts, ones], axis=1),
        np.concatenate([vectors, ones, shifts], axis=1),
    )


def score_trials(
    vectors: np.ndarray, speakers: np.ndarray, seed: int = 1, seconds: np.ndarray | None = None
) -> Trials:
    """Score pairs of utterances by their dot products, cosines of vectors of unit length.

    All unordered pairs up to `BINNED_UTTERANCES`, from `EXACT_UTTERANCES` on in 2²⁰ bins. With
    more utterances, `SAMPLED_TRIALS` same-speaker pairs and as many different-speaker pairs, each
    drawn with replacement and uniformly among all of its kind: error rates of either kind are then
    estimates without bias, whatever the fractions of the kinds are.

    Args:
        vectors: (utterances, dim) float32.
        speakers: (utterances,) speaker of each, any dtype that sorts.
        seed: of the sample.
        seconds: (utterances, dim) of an utterance as the second of a pair, where that
            differs: see `adaptive_sides`, `euclidean_sides`.
    Raises:
        ValueError: with fewer than two speakers, or no speaker with two utterances: an error rate
            would be undefined.
    """
    names, speakers = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"all utterances are of speaker '{names[0]}'; error rates need a second")
    if len(names) == len(speakers):
        raise ValueError("no speaker has two utterances; error rates need same-speaker pairs")
    sides = vectors, vectors if seconds is None else seconds
    if len(speakers) > BINNED_UTTERANCES:
        rng = np.random.default_rng(seed)
        kinds = [_sample_scores(rng, *sides, speakers, same) for same in (False, True)]
        same = np.repeat([False, True], SAMPLED_TRIALS)
        return _count(np.concatenate(kinds), same, sampled=True)
    blocks = _score_blocks(*sides, speakers)
    if len(speakers) <= EXACT_UTTERANCES:
        scores, same = map(np.concatenate, zip(*blocks, strict=True))
        return _count(scores, same)
    low, high, middle, scale = -1.0, 1.0, 0.0, 0.0
    if seconds is not None:
        ends = [(scores.min(), scores.max()) for scores, _ in _score_blocks(*sides, speakers)]
        some = next(_score_blocks(*sides, speakers))[0]
        quarter, middle, three = np.percentile(some.astype(np.float64), [25, 50, 75])
        # Far from the middle bins are wider, or one strange vector would have almost all of them.
        scale = max(three - quarter, 1e-9 * abs(middle), 1e-30)
        low, high = (float(np.arcsinh((end(ends) - middle) / scale)) for end in (np.min, np.max))
    counts = np.zeros(2 * BINS, np.int64)
    width = max(high - low, 1e-12) / BINS
    for scores, same in blocks:
        places = np.arcsinh((scores - middle) / scale) if scale else scores
        bins = np.clip((places - low) / width, 0, BINS - 1).astype(np.int64)
        counts += np.bincount(bins + BINS * same, minlength=2 * BINS)
    nontargets, targets = counts.reshape(2, BINS)
    occur = np.flatnonzero(nontargets + targets)
    centres = low + (occur + 0.5) * width
    if scale:
        centres, width = middle + scale * np.sinh(centres), scale * width
    return Trials(centres, targets[occur], nontargets[occur], resolution=width)


def verification_scores(trials: Trials) -> dict[str, float | int | str]:
    """Error rates of telling from the score whether one speaker said both utterances of a pair.

    Returns:
        `eer`: percent; where misses are as frequent as false alarms, between two thresholds by
        linear interpolation (not on the ROC's convex hull, so never smaller than that).
        `eer_threshold`: the score there.
        `min_dcf`: smallest detection cost over all thresholds, with `P_TARGET` and both costs 1,
        over that of a system that always rejects, so that 1 means useless.
        `trials` ("all" or "sampled"), `trials_target`, `trials_nontarget`: pairs;
        `trials_resolution`: of binned scores.
    """
    misses, alarms = trials.error_rates()
    after = int(np.argmax(misses >= alarms))
    before = after - 1
    gaps = alarms[before] - misses[before], misses[after] - alarms[after]
    weight = gaps[0] / sum(gaps)
    eer = misses[before] + weight * (misses[after] - misses[before])
    return {
        "eer": 100 * float(eer),
        "eer_threshold": float(trials.scores[min(after, len(trials.scores) - 1)]),
        "min_dcf": float(detection_costs(trials).min()),
        "trials": "sampled" if trials.sampled else "all",
        "trials_target": int(trials.targets.sum()),
        "trials_nontarget": int(trials.nontargets.sum()),
    } | ({"trials_resolution": trials.resolution} if trials.resolution else {})


def detection_costs(trials: Trials) -> np.ndarray:
    """(values + 1,) detection cost at each threshold of `Trials.error_rates`.

    Costs of a miss and of a false alarm are 1, `P_TARGET` of the pairs are of one speaker; a
    system that always rejects costs 1.
    """
    misses, alarms = trials.error_rates()
    return misses + (1 - P_TARGET) / P_TARGET * alarms


def _score_blocks(
    firsts: np.ndarray, seconds: np.ndarray, speakers: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores of all unordered pairs, and whether each is of one speaker, block by block."""
    starts = range(0, len(firsts), BLOCK)
    for first in starts:
        rows = slice(first, first + BLOCK)
        for second in starts[first // BLOCK :]:
            columns = slice(second, second + BLOCK)
            scores = firsts[rows] @ seconds[columns].T
            same = speakers[rows, None] == speakers[columns]
            if first == second:
                upper = np.triu_indices(len(scores), k=1)
                yield scores[upper], same[upper]
            else:
                yield scores.ravel(), same.ravel()


def _sample_scores(
    rng: np.random.Generator,
    firsts: np.ndarray,
    seconds: np.ndarray,
    speakers: np.ndarray,
    same: bool,
) -> np.ndarray:
    """(SAMPLED_TRIALS,) scores of pairs drawn uniformly among those of one kind."""
    order = np.argsort(speakers, kind="stable")
    sizes = np.bincount(speakers)
    starts = np.cumsum(sizes) - sizes
    partners = sizes - 1 if same else len(speakers) - sizes
    ends = np.cumsum(sizes * partners)
    speaker = np.searchsorted(ends, rng.integers(ends[-1], size=SAMPLED_TRIALS), side="right")
    first = starts[speaker] + rng.integers(sizes[speaker])
    second = rng.integers(partners[speaker])
    if same:
        second += starts[speaker]
        second += second >= first
    else:
        second += np.where(second >= starts[speaker], sizes[speaker], 0)
    pairs = np.stack([order[first], order[second]])
    return np.concatenate(
        [
            np.einsum("nd,nd->n", firsts[own], seconds[other])
            for own, other in np.array_split(pairs, -(-SAMPLED_TRIALS // 2**16), axis=1)
        ]
    )


def _count(scores: np.ndarray, same: np.ndarray, sampled: bool = False) -> Trials:
    values, index = np.unique(scores, return_inverse=True)
    targets = np.bincount(index[same], minlength=len(values))
    nontargets = np.bincount(index[~same], minlength=len(values))
    return Trials(values, targets, nontargets, sampled)
