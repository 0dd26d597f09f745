"""Generated vectors of speakers, and copies of real ones, for measurements of clustering."""

from pathlib import Path

import numpy as np

from unspeech.kaldi.tables import read_table
from unspeech.kaldi.vectors import load_embeddings

DIM = 100
STRAYS = 0.08  # fraction of utterances that belong to nobody
MEAN_SIZE = 60  # utterances a speaker
SPREAD = (0.4, 0.9)  # of a speaker's utterances around their mean, whose length is 1
BLOCK = 100_000


def speakers(size: int, seed: int, overlap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw speakers.

    Args:
        size: utterances in all.
        overlap: fraction of speakers that stand close to another one.
    Returns:
        (utterances,) speaker of each, strays a speaker each; (speakers, DIM) means and
        (speakers,) spreads, without strays.
    """
    rng = np.random.default_rng(seed)
    voiced = size - int(size * STRAYS)
    drawn = rng.lognormal(np.log(MEAN_SIZE) - 0.5, 1.0, size=voiced)
    sizes = np.maximum(1, np.rint(drawn)).astype(int)
    ends = np.minimum(np.cumsum(sizes), voiced)
    count = int(np.searchsorted(ends, voiced)) + 1
    sizes = np.diff(ends[:count], prepend=0)
    means = unit_length(rng.standard_normal((count, DIM), dtype=np.float32))
    near = int(count * overlap) // 2
    others = unit_length(rng.standard_normal((near, DIM), dtype=np.float32))
    means[near : 2 * near] = unit_length(means[:near] + 0.5 * others)
    spreads = rng.uniform(*SPREAD, size=count).astype(np.float32)
    gold = np.concatenate([np.repeat(np.arange(count), sizes), count + np.arange(size - voiced)])
    return rng.permutation(gold), means, spreads


def unit_length(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def utterances_of(gold: np.ndarray, means: np.ndarray, spreads: np.ndarray, seed: int):
    """Yield blocks of unit vectors, (block, DIM) float32, of the speakers in `gold`."""
    for start in range(0, len(gold), BLOCK):
        of = gold[start : start + BLOCK]
        rng = np.random.default_rng([seed, start])
        vectors = rng.standard_normal((len(of), DIM), dtype=np.float32)
        known = of < len(means)
        vectors[known] *= spreads[of[known], None] / np.sqrt(DIM)
        vectors[known] += means[of[known]]
        yield unit_length(vectors)


def generate(size: int, seed: int, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in memory and their speakers."""
    gold, means, spreads = speakers(size, seed, overlap)
    return np.concatenate(list(utterances_of(gold, means, spreads, seed))), gold


def copies(embeddings: str, utt2spk: str, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Real embeddings, repeated up to a size; copies have a tenth of the usual distance as noise.

    Args:
        size: utterances in all; 0 for the embeddings as they are.
    """
    names, vectors = load_embeddings(embeddings)
    table = read_table(utt2spk)
    gold = np.unique([table[name] for name in names], return_inverse=True)[1]
    if not size:
        return vectors, gold
    rng = np.random.default_rng(seed)
    some = vectors[:1000]
    squares = 2 - 2 * np.sort(some @ some.T, axis=1)[:, -2]
    noise = 0.1 * np.sqrt(np.median(squares) / DIM)
    which = np.arange(size) % len(vectors)
    moved = noise * rng.standard_normal((size, vectors.shape[1]), dtype=np.float32)
    moved[: len(vectors)] = 0
    return unit_length(vectors[which] + moved), gold[which]


def write(folder: Path, blocks) -> None:
    """Write blocks of vectors as an embedding directory; utterances are numbered."""
    ark = folder / "embedding.ark"
    head = b"\0BFV \4" + np.int32(DIM).tobytes()
    number = 0
    with ark.open("wb") as archive, (folder / "embedding.scp").open("w") as scp:
        for block in blocks:
            for vector in block:
                name = f"u{number:08d}"
                scp.write(f"{name} {ark}:{archive.tell() + 10}\n")
                archive.write(name.encode() + b" " + head + vector.tobytes())
                number += 1
