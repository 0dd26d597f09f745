"""Mean and deviation of each utterance's features, alone and beside its embedding.

    python3 -m unspeech.statistics describe --feats data/dev/feats.scp \\
        --ark exp/stats_dev/embedding.ark
    python3 -m unspeech.statistics join --embeddings exp/emb_dev --statistics exp/stats_dev \\
        --background exp/stats_train --ark exp/joined_dev/embedding.ark

How loud a band is on average, and how much that varies, says more of a voice and a microphone than
it seems to, once it is seen against how utterances of the training corpus vary: little where they
vary much. That is the whitening of `unspeech.treatment`, learnt on statistics in place of
embeddings; both are of unit length before they are joined.
"""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unspeech.archives import ArkWriter, iterate_arrays
from unspeech.errors import UnspeechError, run_program
from unspeech.features import check_features
from unspeech.options import OptionParser
from unspeech.treatment import ALONE, SAMPLE, Sample, Treatment, unit
from unspeech.vectors import load_embeddings


def describe(features: np.ndarray) -> np.ndarray:
    """(frames, dim) features to (2 · dim,) float32: mean and deviation of each dimension."""
    return np.concatenate([features.mean(axis=0), features.std(axis=0)]).astype(np.float32)


def join(
    embeddings: np.ndarray, statistics: np.ndarray, background: np.ndarray, weight: float
) -> np.ndarray:
    """Put statistics beside embeddings.

    Args:
        embeddings: (utterances, dim).
        statistics: (utterances, 2 · features), as `describe` makes them; centred on their own mean.
        background: (others, 2 · features), those of the training corpus, to whiten by.
        weight: of the statistics, where that of the embeddings is 1.
    Returns:
        (utterances, dim + 2 · features) float32 of unit length.
    Raises:
        UnspeechError: when the background does not vary enough to whiten by.
    """
    mean, deviation = background.mean(axis=0), background.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1)
    known, own = (background - mean) / scale, (statistics - mean) / scale
    sample = Sample(known, np.full(len(known), ALONE), Path("background"), "")
    whiten = Treatment("center,whiten,length", sample, domain=own)
    return unit(np.hstack([unit(embeddings), weight * whiten(own)])).astype(np.float32)


def write_descriptions(options) -> None:
    count = dim = 0
    with ArkWriter(options.ark) as writer:
        utterances = iterate_arrays(options.feats)
        for utterance, features in tqdm(utterances, unit="utt", disable=not sys.stderr.isatty()):
            dim = dim or features.shape[-1]
            check_features(utterance, features, options.feats, dim)
            writer.write(utterance, describe(features))
            count += 1
    print(f"Described {count} utterances by {2 * dim} numbers each")


def write_joined(options) -> None:
    utterances, embeddings = load_embeddings(options.embeddings)
    statistics = load_statistics(options.statistics)
    background = load_statistics(options.background)
    for utterance in utterances:
        if utterance not in statistics:
            raise UnspeechError(
                f"{options.statistics}: utterance '{utterance}' of {options.embeddings} is not in "
                "it; describe the utterances of the same data directory"
            )
    own = np.stack([statistics[utterance] for utterance in utterances])
    known = np.stack(list(background.values()))
    if own.shape[1] != known.shape[1]:
        raise UnspeechError(
            f"{options.background}: has {known.shape[1]} numbers an utterance, "
            f"{options.statistics} {own.shape[1]}; describe features of one kind"
        )
    if len(known) < 2:
        raise UnspeechError(f"{options.background}: holds one utterance; give more speech")
    rng = np.random.default_rng(options.seed)
    known = known[np.sort(rng.permutation(len(known))[:SAMPLE])]
    with ArkWriter(options.ark) as writer:
        for utterance, vector in zip(
            utterances, join(embeddings, own, known, options.weight), strict=True
        ):
            writer.write(utterance, vector)
    print(
        f"Joined {len(utterances)} utterances, weight {options.weight:g}, whitened by "
        f"{len(known)} others, seed {options.seed}"
    )


def load_statistics(path: Path) -> dict[str, np.ndarray]:
    """What `describe` wrote: {utterance: (2 · dim,) float32}, as it is."""
    utterances, vectors = load_embeddings(path, unit=False)
    return dict(zip(utterances, vectors, strict=True))


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("what", choices=["describe", "join"])
    parser.add_argument("--feats", type=Path, help="describe: an .scp or .ark file of features")
    parser.add_argument("--embeddings", type=Path, help="join: vectors")
    parser.add_argument("--statistics", type=Path, help="join: of the same utterances")
    parser.add_argument("--background", type=Path, help="join: those of the training corpus")
    parser.add_argument("--weight", type=float, default=1.4, help="join: of the statistics (1.4)")
    parser.add_argument("--seed", type=int, default=1, help="join: of the background's sample (1)")
    parser.add_argument("--ark", required=True, type=Path, help="output; its scp stands beside it")
    options = parser.parse_args()
    needed = {"describe": ["feats"], "join": ["embeddings", "statistics", "background"]}
    for name in needed[options.what]:
        if getattr(options, name) is None:
            parser.error(f"{options.what} needs --{name}")
    if options.weight < 0:
        parser.error("--weight must not be negative")
    {"describe": write_descriptions, "join": write_joined}[options.what](options)


if __name__ == "__main__":
    run_program(main)
