"""What `show_feats` draws of features, embeddings and models, as PNG files' contents."""

import argparse
import re
from itertools import islice
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.evaluation import feature_plots, plots
from unspeech.evaluation.projection import project
from unspeech.files.text import read_lines
from unspeech.kaldi.alignments import read_ctm
from unspeech.kaldi.archives import iterate_arrays, read_array
from unspeech.kaldi.tables import read_table
from unspeech.kaldi.vectors import embeddings_file, load_embeddings
from unspeech.network.config import FRAMES_A_SECOND

STATS_UTTERANCES = 10_000
A_CLASS = 1000  # utterances of a class that are drawn, at most, as in the original
TSNE_UTTERANCES = 5000  # in all
SECONDS_A_SAMPLE = 1 / 16000  # in TIMIT's phone files


def show_utterance(options: argparse.Namespace) -> bytes:
    """One utterance of a file of matrices over time, its features above, boundaries of phones."""
    path = embeddings_file(options.input_featfile)
    found = next(islice(iterate_arrays(path), options.num_feat, None), None)
    if found is None:
        raise UnspeechError(f"{path}: there is no utterance {options.num_feat}, counted from 0")
    utterance, rows = found
    if rows.ndim != 2:
        raise UnspeechError(f"{path}: utterance '{utterance}': one vector; give rows over time")
    period = 1
    if (path.parent / "ivector_period").exists():
        period = read_period(path.parent / "ivector_period")
    panels = [(f"{path.name}, a row every {period} frames", rows[: options.max_frames], period)]
    if options.feats:
        table = read_table(options.feats)
        if utterance not in table:
            raise UnspeechError(f"{options.feats}: utterance '{utterance}' is not in it")
        frames = read_array(utterance, table[utterance], options.feats)
        panels.insert(0, (Path(options.feats).name, frames[: period * options.max_frames], 1))
    print(f"Utterance {utterance}: {rows.shape[0]} rows of {rows.shape[1]} numbers")
    return feature_plots.over_time(
        [(name, matrix, step / FRAMES_A_SECOND) for name, matrix, step in panels],
        boundaries(options.phn_file, utterance) if options.phn_file else [],
        utterance,
    )


def read_period(path: Path) -> int:
    """Frames from one row to the next, as an i-vector directory says.

    Raises:
        UnspeechError: when the file holds no such number.
    """
    lines = read_lines(path)
    if len(lines) != 1 or not re.fullmatch("[1-9][0-9]{0,8}", lines[0].strip()):
        raise UnspeechError(f"{path}: expected one number of frames; make the i-vectors again")
    return int(lines[0])


def boundaries(path: str, utterance: str) -> list[float]:
    """Where units end, in seconds: from a CTM file, or a phone file as TIMIT's.

    Raises:
        UnspeechError: when the file has no unit of the utterance, or is neither.
    """
    lines = read_lines(path)
    if all(len(line.split()) == 3 for line in lines):
        try:
            return [int(line.split()[1]) * SECONDS_A_SAMPLE for line in lines]
        except ValueError:
            raise UnspeechError(f"{path}: expected '<first> <last> <phone>' lines") from None
    units = read_ctm(path).get(utterance, [])
    if not units:
        raise UnspeechError(f"{path}: no unit of utterance '{utterance}'")
    return [unit.end / FRAMES_A_SECOND for unit in units]


def show_stats(options: argparse.Namespace) -> bytes:
    """Mean magnitude of each dimension, utterances counted alike."""
    path = embeddings_file(options.input_featfile)
    arrays = islice(iterate_arrays(path), STATS_UTTERANCES)
    means = np.stack([np.abs(np.atleast_2d(array)).mean(axis=0) for _, array in arrays])
    print(f"{len(means)} utterances")
    return feature_plots.dimensions(means.mean(axis=0), f"{path.name}, {len(means):,} utterances")


def show_classes(options: argparse.Namespace) -> bytes:
    """t-SNE of utterances, one unit-length vector each, coloured by class."""
    if not options.utt_2_class:
        raise UnspeechError("classes_tsne: give the classes by --utt-2-class, utt2spk say")
    utterances, vectors = load_embeddings(options.input_featfile)
    table = read_table(options.utt_2_class)
    classes = np.array([table.get(utterance, "") for utterance in utterances])
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(np.flatnonzero(classes != ""))
    kept = [order[classes[order] == name][:A_CLASS] for name in np.unique(classes[order])]
    shown = np.sort(rng.permutation(np.concatenate(kept or [order]))[:TSNE_UTTERANCES])
    if len(shown) < 4:
        raise UnspeechError(
            f"{options.utt_2_class}: names {len(shown)} of the {len(utterances)} utterances of "
            f"{options.input_featfile}; t-SNE needs more"
        )
    print(f"{len(shown)} of {len(utterances)} utterances, seed {options.seed}")
    title = f"t-SNE of {len(shown):,} of {len(utterances):,} utterances, seed {options.seed}"
    return plots.tsne(project(vectors[shown], options.seed), classes[shown], None, title)


def show_filters(options: argparse.Namespace) -> bytes:
    """The learnt filters of an end-to-end model."""
    # Imported here: seconds that the other pictures need not wait for.
    from unspeech.network.model import load_model

    model = load_model(options.input_featfile)
    if not model.config.end_to_end:
        raise UnspeechError(f"{options.input_featfile}: no model of waveforms (end_to_end)")
    kernel = model.target_encoder.get_layer("filter_bank").kernel.numpy()[:, 0]
    print(f"{kernel.shape[1]} filters of {kernel.shape[0]} samples")
    return feature_plots.filters(kernel, model.config.sample_rate)


MODES = {
    "featshow": show_utterance,
    "stats": show_stats,
    "classes_tsne": show_classes,
    "filters": show_filters,
}
