"""How likely one speaker has said two groups of utterances.

In: vectors and the speakers that they seem to have.
Out: log-likelihood ratios of groups, by a model of two covariances (PLDA), and priors of sizes.
Source: S. Ioffe, "Probabilistic linear discriminant analysis", ECCV 2006.
"""

from collections.abc import Iterable

import numpy as np

SAMPLE = 30_000  # utterances that the model is learnt from, at most
CORRELATION = 0.2  # of what varies within a speaker, between utterances: 20 count for 4
SHRINKAGE = 0.1  # of the covariance within speakers, towards a sphere
LEAST = 1e-3  # variance between speakers, where that within is 1


class Likeness:
    """A model of two covariances: of speakers, and of the utterances of one.

    Args:
        vectors: (utterances, dim).
        labels: (utterances,) speakers; negative ones do not count.
        seed: of the sample of utterances.
    """

    def __init__(self, vectors: np.ndarray, labels: np.ndarray, seed: int = 1) -> None:
        used = np.flatnonzero(labels >= 0)
        if len(used) > SAMPLE:
            some = np.random.default_rng(seed).choice(used, SAMPLE, replace=False)
            used = np.sort(some)
        sample = np.asarray(vectors[used], np.float64)
        counts, groups, means = _group(sample, labels[used])
        several = counts > 1
        rest = (sample - means[groups])[several[groups]]
        dim = sample.shape[1]
        within = rest.T @ rest / max(1, len(rest) - several.sum())
        spread = max(np.trace(within) / dim, 1e-12)
        within = (1 - SHRINKAGE) * within + SHRINKAGE * spread * np.eye(dim)
        values, axes = np.linalg.eigh(within)
        whiten = axes / np.sqrt(values)
        chosen = means[several] if several.sum() > 1 else means
        self.mean = chosen.mean(axis=0)
        between = np.atleast_2d(np.cov(((chosen - self.mean) @ whiten).T, bias=True))
        noise = np.mean(1 / counts[several]) if several.any() else 1
        values, axes = np.linalg.eigh(between - noise * np.eye(dim))
        self.variances = np.maximum(values, LEAST)
        self._projection = whiten @ axes
        self.unit = 1.0
        self.unit = self._unit(self.project(sample), groups, counts, seed)

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors whose variance within speakers is 1, and between them `variances`."""
        return (np.asarray(vectors, np.float64) - self.mean) @ self._projection

    def ratio(
        self, first: np.ndarray, firsts: np.ndarray, second: np.ndarray, seconds: np.ndarray
    ) -> np.ndarray:
        """Log-likelihood ratio of one speaker against two.

        It is scaled so that it is about 100 for the halves of one speaker's utterances.

        Args:
            first, second: (…, dim) projected means of groups.
            firsts, seconds: (…,) how many utterances they are means of.
        """
        own = _effective(firsts)[..., None]
        other = _effective(seconds)[..., None]
        known = self.variances * own / (1 + self.variances * own)
        left = self.variances / (1 + self.variances * own) + 1 / other
        free = self.variances + 1 / other
        gain = np.log(free / left) + second**2 / free - (second - known * first) ** 2 / left
        return 0.5 * gain.sum(axis=-1) / self.unit

    def _unit(self, points: np.ndarray, groups: np.ndarray, counts: np.ndarray, seed: int) -> float:
        """The median ratio of random halves of speakers, over 100."""
        rng = np.random.default_rng(seed)
        order = np.lexsort((rng.random(len(groups)), groups))
        starts = np.cumsum(counts) - counts
        found = []
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
            if count > 3 and len(found) < 1000:
                own = points[order[start : start + count]]
                half = count // 2
                sizes = np.array(half), np.array(count - half)
                means = own[:half].mean(axis=0), own[half:].mean(axis=0)
                found.append(self.ratio(means[0], sizes[0], means[1], sizes[1]))
        middle = float(np.median(found)) if found else 0
        return middle / 100 if middle > 1 else 1.0


def _effective(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    return counts / (1 + CORRELATION * (counts - 1))


def _group(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes of groups, the group of each vector, and the groups' means."""
    _, groups, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(groups, kind="stable")
    sums = np.add.reduceat(vectors[order], np.cumsum(counts) - counts, axis=0)
    return counts, groups, sums / counts[:, None]


class Sizes:
    """How usual a number of utterances of a speaker is in this corpus.

    Args:
        counts: of the speakers that there seem to be.
    """

    WIDTH = 0.05  # of a size's neighbourhood, in its logarithm
    ANY = 0.3  # share of speakers of any size

    def __init__(self, counts: Iterable[int]) -> None:
        logs = np.log(np.array(list(counts), float))
        self._logs, shares = np.unique(logs, return_counts=True)
        self._shares = shares / shares.sum()
        self._range = logs.max() + np.log(4)
        self._known: dict[int, float] = {0: 0.0}

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Logarithm of the density of the logarithm of sizes; 0 for nobody."""
        values, inverse = np.unique(counts, return_inverse=True)
        return np.array([self._one(int(count)) for count in values])[inverse.reshape(counts.shape)]

    def _one(self, count: int) -> float:
        if count not in self._known:
            near = np.exp(-0.5 * ((np.log(count) - self._logs) / self.WIDTH) ** 2) @ self._shares
            near /= self.WIDTH * np.sqrt(2 * np.pi)
            self._known[count] = float(np.log((1 - self.ANY) * near + self.ANY / self._range))
        return self._known[count]
