"""Score embeddings, and clusters of them, against gold speakers.

    python3 -m unspeech.evaluate --embeddings exp/embeddings_dev --utt2spk data/dev/utt2spk \\
        --clusters exp/clusters_dev --out exp/eval_dev

Leaves scores.json, det.png, distances.png and tsne.png.
"""

import json
import shlex
import sys
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import COUNT, SEED, Number
from unspeech.cli.options import OptionParser
from unspeech.clustering.scores import clustering_scores
from unspeech.evaluation.projection import project
from unspeech.evaluation.scores import (
    adaptive_sides,
    euclidean_sides,
    score_trials,
    verification_scores,
)
from unspeech.evaluation.speakers import (
    choose_speakers,
    clusters_of,
    each_outlier_alone,
    load_cohort,
)
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.tables import speakers_of
from unspeech.kaldi.vectors import add_vector_options, load_embeddings

TSNE_UTTERANCES = 2000


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument(
        "--embeddings", required=True, help="directory of embeddings or i-vectors, .scp or .ark"
    )
    parser.add_argument("--utt2spk", required=True, help="gold speakers")
    parser.add_argument("--clusters", type=Path, help="clusters directory, to score it as well")
    parser.add_argument(
        "--cohort",
        help="normalise scores by those with this directory's vectors, normalised as --embeddings "
        "are (adaptive symmetric normalisation)",
    )
    parser.add_argument(
        "--cohort-top",
        type=COUNT,
        default=300,
        help="how many of the cohort count, the nearest ones",
    )
    parser.add_argument("--out", required=True, type=Path, help="output directory")
    half = "take of each vector the values before this index; -1: all"
    add_vector_options(parser, half, metrics=("cosine", "euclidean"))
    parser.add_argument(
        "--max-spks",
        type=Number(int, "[2, inf)", special=-1),
        default=-1,
        help="speakers to score; -1: all",
    )
    parser.add_argument("--random-seed", type=SEED, default=42, help="of the choice of --max-spks")
    parser.add_argument("--seed", type=SEED, default=1, help="of samples and of t-SNE")
    options = parser.parse_args()

    cosine = options.metric == "cosine"
    if options.cohort and not cosine:
        raise UnspeechError("--cohort normalises cosines: use it with --metric cosine")
    part = slice(None if options.half_index == -1 else options.half_index)
    unit_length = cosine or options.normalize == "true"
    utterances, vectors = load_embeddings(options.embeddings, unit_length, part)
    gold = np.array(speakers_of(utterances, options.utt2spk))
    clusters = clusters_of(utterances, options.clusters) if options.clusters else None
    if options.max_spks != -1:
        chosen = choose_speakers(options.utt2spk, options.max_spks, options.random_seed)
        print(f"{len(chosen)} speakers, seed {options.random_seed}: {' '.join(chosen)}", flush=True)
        kept = np.flatnonzero(np.isin(gold, chosen))
        if not len(kept):
            raise UnspeechError(
                f"{options.utt2spk}: none of the speakers that --max-spks has drawn is in "
                f"{options.embeddings}; give the utt2spk of these utterances, or more speakers"
            )
        utterances, vectors, gold = [utterances[i] for i in kept], vectors[kept], gold[kept]
        clusters = None if clusters is None else clusters[kept]
    print(f"Scoring {len(utterances)} utterances, seed {options.seed}", flush=True)
    firsts, seconds = (vectors, None) if cosine else euclidean_sides(vectors)
    if options.cohort:
        cohort = load_cohort(options.cohort, part, vectors.shape[1], options.seed)
        try:
            firsts, seconds = adaptive_sides(vectors, cohort, options.cohort_top)
        except ValueError as error:
            raise UnspeechError(f"{options.cohort}: {error}") from None
    try:
        trials = score_trials(firsts, gold, options.seed, seconds)
    except ValueError as error:
        raise UnspeechError(f"{options.utt2spk}: {error}") from None
    scores = verification_scores(trials)
    if options.cohort:
        scores |= {"cohort": len(cohort), "cohort_top": options.cohort_top}
    scores |= {"utterances": len(utterances), "speakers": len(np.unique(gold))}
    scores |= {"metric": options.metric, "utt2spk": options.utt2spk}
    if clusters is not None:
        outliers = int(np.sum(clusters == ""))
        scores |= clustering_scores(gold, each_outlier_alone(clusters), outliers)
    command = shlex.join(["python3", "-m", "unspeech.evaluate", *sys.argv[1:]])
    scores |= {"seed": options.seed, "command": command}

    from unspeech.evaluation import plots

    rng = np.random.default_rng(options.seed)
    count = min(TSNE_UTTERANCES, len(utterances))
    shown = np.sort(rng.choice(len(utterances), count, replace=False))
    of_all = f"{count:,} of {len(utterances):,}" if count < len(utterances) else f"all {count:,}"
    score = "normalised score" if options.cohort else "cosine" if cosine else "1 - d² / 2"
    title = f"t-SNE of {of_all} utterances, seed {options.seed}"
    pictures = {
        "det.png": plots.det_curve(trials, scores["eer"], scores["min_dcf"], score),
        "distances.png": plots.distances(trials, scores["eer_threshold"], score),
        "tsne.png": plots.tsne(
            project(vectors[shown], options.seed),
            gold[shown],
            None if clusters is None else clusters[shown],
            title,
        ),
    }
    for name, picture in pictures.items():
        with atomic_write(options.out / name, "wb") as file:
            file.write(picture)
    with atomic_write(options.out / "scores.json") as file:
        json.dump(scores, file, indent=2)
    print(f"{options.out / 'scores.json'} is written")


if __name__ == "__main__":
    run_program(main)
