"""Treat embeddings without labels: centring, whitening, length, within-cluster covariance.

    python3 -m unspeech.treatment make --embeddings exp/emb_train --clusters exp/clusters_train \\
        --model exp/model
    python3 -m unspeech.treatment apply --treatment center,whiten,length --model exp/model \\
        --embeddings exp/emb_dev --ark exp/emb_dev_treated/embedding.ark

`make` keeps a sample of the training corpus's vectors in the model directory, and which of them
belong together. A list of treatments is estimated from it when it is asked for, each on what those
before it leave.
Source: Kaldi's `egs/sre16/v2/run.sh` (ivector-subtract-global-mean, transform-vec,
ivector-normalize-length, the mean of unlabelled speech of the domain); O. Ledoit, M. Wolf, "A
well-conditioned estimator for large-dimensional covariance matrices", 2004; A. Hatch, S. Kajarekar,
A. Stolcke, "Within-class covariance normalization for SVM-based speaker recognition", 2006.
"""

import hashlib
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.archives import ArkWriter
from unspeech.errors import UnspeechError, run_program
from unspeech.options import OptionParser
from unspeech.tables import atomic_write, read_table
from unspeech.vectors import load_embeddings

SAMPLE = 20_000  # vectors that a model keeps, at most
FILE = "treatment.npz"
# In the order in which they are mostly used. `whiten` keeps the axes as far as it can (ZCA), `pca`
# turns to the principal ones; cosines are the same.
TREATMENTS = ("center", "whiten", "pca", "length", "wccn")
ALONE = -1  # the cluster of outliers

Step = Callable[[np.ndarray], np.ndarray]  # (…, dim) to (…, new dim) float64


@dataclass(frozen=True)
class Sample:
    """Vectors of the training corpus, as `make` keeps them.

    Attributes:
        vectors: (vectors, dim) float32 of unit length.
        clusters: (vectors,) int64 cluster of each, or `ALONE`.
        path: the file.
        model_id: `final.ie.id` of the model that made them.
    """

    vectors: np.ndarray
    clusters: np.ndarray
    path: Path
    model_id: str


class Treatment:
    """Treatments in a row, for vectors of utterances and for rows over time.

    Args:
        names: some of `TREATMENTS` with commas between; `pca:50` keeps 50 axes.
        sample: what they are estimated from.
        domain: (vectors, dim), not treated, of unit length: speech of the domain, whose mean
            `center` subtracts in place of the sample's.
    Raises:
        UnspeechError: for an unknown name, or one that the sample is too small for.
    """

    def __init__(self, names: str, sample: Sample, domain: np.ndarray | None = None) -> None:
        self._names, self._sample = names, sample
        self._steps: list[Step] = [unit]
        vectors = unit(sample.vectors)
        central = vectors if domain is None else unit(self._checked(domain))
        for word in names.split(","):
            name, _, axes = word.partition(":")
            if name not in TREATMENTS or (axes and not (name == "pca" and axes.isdecimal())):
                known = ", ".join(TREATMENTS)
                raise UnspeechError(f"treatment: there is no '{word}'; there are {known}, pca:N")
            try:
                step = _estimate(name, axes, vectors, central, sample.clusters)
            except ValueError as error:
                raise UnspeechError(f"{sample.path}: no {word}: {error}") from None
            self._steps.append(step)
            vectors, central = step(vectors), step(central)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """(…, dim) of any length, scaled to unit length first, to (…, new dim) float32."""
        treated = self._checked(vectors).astype(np.float64)
        for step in self._steps:
            treated = step(treated)
        return treated.astype(np.float32)

    @property
    def id(self) -> str:
        """An id as `final.ie.id` is one: of the model, the treatments and what they are made from.

        The domain does not count: training speech and new speech are centred each on their own.
        """
        digest = hashlib.md5(
            f"{self._sample.model_id} {self._names}".encode(), usedforsecurity=False
        )
        digest.update(self._sample.vectors.tobytes() + self._sample.clusters.tobytes())
        return digest.hexdigest()

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        dim = self._sample.vectors.shape[1]
        if vectors.shape[-1] != dim:
            raise UnspeechError(
                f"{self._sample.path}: made from vectors of {dim} dimensions, these have "
                f"{vectors.shape[-1]}; use embeddings of this model alone"
            )
        return vectors


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale (…, dim) vectors to unit length; one without a direction stays zero."""
    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _estimate(
    name: str, axes: str, vectors: np.ndarray, central: np.ndarray, clusters: np.ndarray
) -> Step:
    """One of `TREATMENTS`; raises ValueError where the vectors do not suffice."""
    if name == "length":
        return unit
    if name == "center":
        mean = central.mean(axis=0)
        return lambda v: v - mean
    deviations = vectors - vectors.mean(axis=0)
    variances, directions = _axes(_within(vectors, clusters) if name == "wccn" else deviations)
    matrix = directions / np.sqrt(variances)
    if name == "pca":
        keep = int(axes or len(variances))
        if not 0 < keep <= len(variances):
            raise ValueError(f"the vectors have {len(variances)} axes")
        matrix = matrix[:, :keep]
    else:
        matrix = matrix @ directions.T
    return lambda v: v @ matrix


def _within(vectors: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """(vectors in clusters, dim): their deviations from their cluster's mean."""
    vectors, clusters = vectors[clusters != ALONE], clusters[clusters != ALONE]
    _, which, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError("it holds fewer than two clusters; make it with --clusters")
    means = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(means, which, vectors)
    return vectors - (means / sizes[:, None])[which]


def _axes(deviations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(dim,) variances, falling, and (dim, dim) axes in columns, of a shrunk covariance."""
    # Imported here: extraction without treatment need not wait for it.
    from sklearn.covariance import ledoit_wolf

    variances, directions = np.linalg.eigh(ledoit_wolf(deviations, assume_centered=True)[0])
    if not variances[0] > 1e-12 * variances[-1] > 0:
        raise ValueError("its vectors do not vary enough; use more utterances")
    return variances[::-1], directions[:, ::-1]


def draw_sample(embeddings: Path, clusters: Path | None, model: Path, seed: int) -> Sample:
    """Draw up to `SAMPLE` vectors of a corpus.

    Args:
        embeddings: directory with vectors, not treated.
        clusters: clusters directory of them, or None.
        model: directory of the model that made them.
        seed: of the draw.
    Raises:
        UnspeechError: when there are fewer than two, or the clusters are of other utterances.
    """
    utterances, vectors = load_embeddings(embeddings)
    if len(utterances) < 2:
        raise UnspeechError(f"{embeddings}: holds one utterance; treatments need more")
    labels = np.full(len(utterances), ALONE)
    if clusters:
        table = read_table(clusters / "utt2spk")
        if not set(table).issubset(utterances):
            strange = min(set(table).difference(utterances))
            raise UnspeechError(
                f"{clusters / 'utt2spk'}: utterance '{strange}' is not in {embeddings}; give the "
                "clusters of these embeddings"
            )
        sizes = Counter(table.values())
        numbers = {name: i for i, name in enumerate(sorted(sizes)) if sizes[name] > 1}
        labels[:] = [numbers.get(table.get(utterance), ALONE) for utterance in utterances]
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(utterances))[:SAMPLE])
    return Sample(vectors[chosen], labels[chosen], model / FILE, _model_id(model))


def _model_id(model: Path) -> str:
    path = model / "final.ie.id"
    if not path.is_file():
        raise UnspeechError(f"{path}: no such file; train the model first")
    return path.read_text(encoding="utf-8").strip()


def load_treatment(names: str, model: str | Path, domain: str | Path | None = None) -> Treatment:
    """Make treatments from what a model directory keeps.

    Args:
        names: see `Treatment`.
        model: model directory.
        domain: directory of embeddings of the domain, not treated, or None.
    Raises:
        UnspeechError: see `Treatment`; when the file is missing, or of another model.
    """
    path = Path(model) / FILE
    if not path.is_file():
        raise UnspeechError(f"{path}: no such file; run steps_unspeech/make_treatment.sh first")
    with np.load(path) as arrays:
        sample = Sample(arrays["vectors"], arrays["clusters"], path, str(arrays["model_id"]))
    if sample.model_id != _model_id(Path(model)):
        raise UnspeechError(
            f"{path}: the model was trained on since; embed its training corpus again and run "
            "steps_unspeech/make_treatment.sh --overwrite true"
        )
    return Treatment(names, sample, load_embeddings(domain)[1] if domain else None)


def make(options) -> None:
    sample = draw_sample(options.embeddings, options.clusters, options.model, options.seed)
    settings = {name: str(value) for name, value in vars(options).items() if value is not None}
    command = shlex.join(["python3", "-m", "unspeech.treatment", *sys.argv[1:]])
    with atomic_write(sample.path, "wb") as file:
        np.savez(
            file,
            vectors=sample.vectors,
            clusters=sample.clusters,
            model_id=sample.model_id,
            settings=json.dumps(settings | {"command": command}),
        )
    together = sample.clusters[sample.clusters != ALONE]
    print(
        f"{sample.path}: {len(sample.vectors)} vectors, {len(together)} of them in "
        f"{len(np.unique(together))} clusters, seed {options.seed}"
    )


def apply(options) -> None:
    treatment = load_treatment(options.treatment, options.model, options.domain_embeddings)
    utterances, vectors = load_embeddings(options.embeddings)
    with ArkWriter(options.ark) as writer:
        for utterance, vector in zip(utterances, unit(treatment(vectors)), strict=True):
            writer.write(utterance, vector)
    print(f"Treated {len(utterances)} utterances: {options.treatment}")


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("what", choices=["make", "apply"])
    parser.add_argument("--model", required=True, type=Path, help="model directory")
    parser.add_argument("--embeddings", type=Path, help="vectors, not treated")
    parser.add_argument("--clusters", type=Path, help="make: their clusters directory, for wccn")
    parser.add_argument("--seed", type=int, default=1, help="make: of the sample")
    parser.add_argument("--treatment", help=f"names with commas between: {', '.join(TREATMENTS)}")
    parser.add_argument(
        "--domain-embeddings", type=Path, help="apply: vectors, not treated, to center on"
    )
    parser.add_argument("--ark", type=Path, help="apply: output; its scp stands beside it")
    options = parser.parse_args()
    needed = ["embeddings"] + ["treatment", "ark"] * (options.what == "apply")
    for name in needed:
        if getattr(options, name) is None:
            parser.error(f"{options.what} needs --{name}")
    {"make": make, "apply": apply}[options.what](options)


if __name__ == "__main__":
    run_program(main)
