"""Rows, vectors and figures of utterances from a model that has a network."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unspeech.cli.errors import UnspeechError
from unspeech.embedding.embedder import Embedder
from unspeech.embedding.online import OnlineEmbedder
from unspeech.embedding.rows import RowOptions, averaged, load_scale, unit_mean
from unspeech.embedding.values import NetworkValues
from unspeech.embedding.windows import UnitEmbedder
from unspeech.files.atomic import atomic_write
from unspeech.kaldi.alignments import read_ctm
from unspeech.kaldi.corpus import Corpus
from unspeech.kaldi.features import load_corpus
from unspeech.network.inputs import read_inputs
from unspeech.network.model import load_model
from unspeech.network.model_dir import read_head
from unspeech.network.solved_head import unit_length
from unspeech.training.accuracy import sampled_accuracy


class NetworkRows:
    """Makes rows and vectors of utterances with a network, and its solved head if it has one.

    Args:
        directory: of the model.
        options: what rows are made of.
    Raises:
        UnspeechError: when the options do not fit the model.
    """

    def __init__(self, directory: str | Path, options: RowOptions) -> None:
        if options.feature_means:
            raise UnspeechError("feature_means is for models without a network")
        self._directory, self._options = Path(directory), options
        self._model = load_model(directory)
        self._head = read_head(self._directory) if self._model.config.solve_head else None
        if self._head and (options.normalize_rows or options.both_heads):
            raise UnspeechError(
                "normalize_rows, genfeat_combine_contexts and generate_fbank_segmentation are for "
                "models without a solved head, whose rows are normalised already"
            )
        self._scale = self._head or load_scale(directory, options)

    def rows(
        self, utterances: Iterable[tuple[str, np.ndarray]], spk2utt: Mapping[str, str]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Make the rows of (name, features) utterances, see `Embedder.rows` and `averaged`."""
        embedder = Embedder(self._model, self._options, self._scale, pooled=self._head is not None)
        rate = self._model.config.input_rate
        return averaged(embedder.rows(utterances), self._options, rate, spk2utt)

    def vectors(
        self, utterances: Iterable[tuple[str, np.ndarray]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Make one vector of unit length per utterance."""
        if self._head:
            for pooled in NetworkValues(self._model).pooled(utterances, lambda name: False):
                yield pooled.utterance, unit_length(self._head(pooled.values))
            return
        options = self._options
        if not options.rows_as_original:
            # Copies of the last row, for a row a period, would count its window several times.
            options = replace(options, genfeat_interpolate_outputlength_padding=False)
        for name, rows in Embedder(self._model, options, self._scale).rows(utterances):
            yield name, unit_mean(rows)

    def online(self) -> OnlineEmbedder:
        """What makes the same rows while somebody speaks."""
        return OnlineEmbedder(
            self._model, self._options, self._scale, pooled=self._head is not None
        )


def embed_units(options: argparse.Namespace) -> None:
    """Write `<utterance> <unit> [<number>,…]` lines: the embedding of each unit of a CTM file.

    A unit that runs over the end of its utterance ends there.
    """
    if not options.ali_ctm:
        raise UnspeechError("unit_emb: give the units by --ali-ctm")
    model = load_model(options.model)
    alignments = read_ctm(options.ali_ctm)
    embedder = UnitEmbedder(model)
    utterances = read_inputs(options.feats, options.data, model.config)
    count, without = 0, []
    with atomic_write(options.ark.with_suffix(".emb")) as file:
        for name, features in tqdm(utterances, unit="utt", disable=not sys.stderr.isatty()):
            units = [unit for unit in alignments.get(name, []) if len(features[slice(*unit[:2])])]
            if not units:
                without.append(name)
                continue
            rows = embedder.embed([features[unit.start : unit.end] for unit in units])
            if not np.isfinite(rows).all():
                raise UnspeechError(f"{options.ark}: utterance '{name}': NaN or infinite numbers")
            for unit, row in zip(units, rows, strict=True):
                file.write(f"{name} {unit.name} [{','.join(f'{x:.7g}' for x in row)}]\n")
            count += len(units)
    left_out = options.ark.with_suffix(".unaligned")
    with atomic_write(left_out) as file:
        file.writelines(f"{name}\n" for name in without)
    print(
        f"Embedded {count} units; {len(without)} utterances without units in {options.ali_ctm} are "
        f"listed in {left_out}"
    )


def test_perf(options: argparse.Namespace) -> None:
    """Measure how often the model tells positive pairs of the corpus from negative ones."""
    model = load_model(options.model)
    config = model.config
    if config.end_to_end:
        names, waveforms = zip(*read_inputs(options.feats, options.data, config), strict=True)
        corpus = Corpus.in_memory(list(names), list(waveforms))
    else:
        corpus = load_corpus(options.feats, config.feat_size)
    drawn = options.test_perf_samples, options.seed, options.spk2utt or "", options.ali_ctm
    accuracies, chance = sampled_accuracy(model, corpus, *drawn)
    with atomic_write(options.ark.with_suffix(".sampled_accuracy")) as file:
        file.write(f"SUMMARY:\nmean accuracy:{accuracies.mean()}\n")
        file.write(f"majority accuracy:{chance}\nBATCHES:\n")
        file.writelines(f"{accuracy}\n" for accuracy in accuracies)
    print(
        f"mean accuracy {accuracies.mean():.4f}, majority class accuracy {chance:.4f}: "
        f"{len(accuracies)} batches, seed {options.seed}",
        flush=True,
    )
