"""Embed utterances with a trained model: rows over time, or one vector an utterance.

    python3 -m unspeech.embed ivectors --feats data/dev/feats.scp --model exp/model --ark iv.1.ark
    python3 -m unspeech.embed utterances --feats data/dev/feats.scp --model exp/model --ark e.1.ark

What is done to the rows has the names of the original's options (`genfeat_…`).
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unspeech.archives import ArkWriter, iterate_arrays
from unspeech.config import FRAMES_A_SECOND, Config, add_options, given_options, setting
from unspeech.errors import UnspeechError, run_program
from unspeech.features import check_features
from unspeech.model import UnspeechModel, load_model
from unspeech.options import OptionParser
from unspeech.tables import atomic_write, read_table
from unspeech.waveforms import read_waveforms
from unspeech.windows import join_frames, window_embedder


@dataclass(frozen=True)
class RowOptions:
    """What the rows of an utterance are made of. Lengths are in frames."""

    genfeat_stride: int = setting(10, "frames from one row to the next")
    kaldi_normalize_to_input_length: bool = setting(
        False, "fill the windows that run over the end with the last frame"
    )
    genfeat_interpolate_outputlength_padding: bool = setting(
        True, "else repeat the last whole window's row to the end; without both, rows end there"
    )
    genfeat_combine_contexts: bool = setting(False, "append the context head's embedding")
    genfeat_combine_fbank: bool = setting(False, "put the features of the row's frame before it")
    genfeat_boost: bool = setting(False, "scale each utterance's embeddings to a range of about 10")
    generate_fbank_segmentation: bool = setting(
        False, "append how well this window goes with those one and two windows before it"
    )
    genfeat_kaldi_meannorm: bool = setting(
        False, "replace all rows by their mean, scaled to unit length"
    )
    generate_speaker_vectors: bool = setting(False, "one row only, the mean")
    genfeat_max_length: int = setting(
        100_000, "frames embedded at a time; longer utterances are cut into pieces and joined"
    )


class Embedder:
    """Embeds many utterances at once with the heads of a trained model.

    Windows of many utterances share a batch. An utterance shorter than a window is repeated until
    it fills one.

    Args:
        model: a trained model.
        options: what the rows are made of.
    Raises:
        UnspeechError: when the options do not fit the model.
    """

    def __init__(self, model: UnspeechModel, options: RowOptions) -> None:
        config = model.config
        self.options = options
        self.stride = options.genfeat_stride
        self.window_length = config.window_length
        self._chunk_length = options.genfeat_max_length * config.input_rate // FRAMES_A_SECOND
        if self.stride < 1:
            raise UnspeechError(f"genfeat_stride must be at least 1 frame, not {self.stride}")
        both = options.genfeat_combine_contexts or options.generate_fbank_segmentation
        if options.generate_fbank_segmentation and config.window_length % self.stride:
            raise UnspeechError(
                f"generate_fbank_segmentation: window_length {config.window_length} is not a "
                f"multiple of genfeat_stride {self.stride}"
            )
        self._heads = 1 + both
        self._windows = window_embedder(model, both)

    def rows(
        self, utterances: Iterable[tuple[str, np.ndarray]]
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Embed (name, features) pairs, each features (frames, feat_size) float32.

        Yields:
            (name, (rows, dim) float32), in order. Row t is the window that begins at frame
            t * genfeat_stride; there are ceil(frames / genfeat_stride) rows unless the options
            say otherwise.
        """
        chunk: list[tuple[str, np.ndarray]] = []
        frames = 0
        for name, features in utterances:
            chunk.append((name, features))
            frames += len(features)
            if frames >= self._chunk_length:
                yield from self._chunk(chunk)
                chunk, frames = [], 0
        if chunk:
            yield from self._chunk(chunk)

    def _chunk(self, chunk: list[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
        filled = [self._fill(features) for _, features in chunk]
        frames, begins = join_frames(filled, self._windows.alignment)
        starts = [
            begin + np.arange(0, len(features) - self.window_length + 1, self.stride)
            for begin, features in zip(begins, filled, strict=True)
        ]
        embedded = self._windows.embed(frames, np.concatenate(starts))
        ends = np.cumsum([len(own) for own in starts])
        for (name, features), own in zip(chunk, np.split(embedded, ends[:-1]), strict=True):
            yield name, self._finish(features, own)

    def _fill(self, features: np.ndarray) -> np.ndarray:
        if self.options.kaldi_normalize_to_input_length:
            return np.pad(features, ((0, self.window_length - 1), (0, 0)), mode="edge")
        short = self.window_length - len(features)
        return np.pad(features, ((0, short), (0, 0)), mode="wrap") if short > 0 else features

    def _finish(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
        options = self.options
        wanted = -(-len(features) // self.stride)
        if options.genfeat_interpolate_outputlength_padding:
            rows = rows[np.minimum(np.arange(wanted), len(rows) - 1)]
        heads = np.split(rows[:wanted], self._heads, axis=1)
        columns = heads[: 1 + options.genfeat_combine_contexts]
        if options.genfeat_boost:
            columns = [c * 10 / (abs(c.min()) + abs(c.max()) / 2) for c in columns]
        if options.genfeat_kaldi_meannorm:
            columns = [np.broadcast_to(unit_mean(c), c.shape) for c in columns]
        if options.generate_fbank_segmentation:
            columns = [*columns, self._segmentation(*heads)]
        if options.genfeat_combine_fbank:
            columns = [features[:: self.stride][: len(rows)], *columns]
        combined = np.concatenate(columns, axis=1)
        return (
            combined.mean(axis=0, keepdims=True) if options.generate_speaker_vectors else combined
        )

    def _segmentation(self, targets: np.ndarray, contexts: np.ndarray) -> np.ndarray:
        """(rows, 2): probability that this window is context of the one and two windows before."""
        columns = np.zeros((len(targets), 2), np.float32)
        for column in (0, 1):
            back = (column + 1) * self.window_length // self.stride
            logits = (targets[:-back] * contexts[back:]).sum(axis=1)
            columns[back:, column] = 1 / (1 + np.exp(-logits))
        return columns


def unit_mean(rows: np.ndarray) -> np.ndarray:
    """The mean of an utterance's rows, scaled to unit length: (rows, dim) to (dim,) float32."""
    mean = rows.mean(axis=0, dtype=np.float64)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def checked_features(path: Path, feat_size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Features of each utterance of an scp or ark file, refused if the model cannot take them."""
    for name, features in iterate_arrays(path):
        check_features(name, features, path, feat_size)
        yield name, features


def inputs(feats: Path, data: str | None, config: Config) -> Iterator[tuple[str, np.ndarray]]:
    """What the model takes of each utterance of a file: features, or audio from `data`."""
    if not config.end_to_end:
        return checked_features(feats, config.feat_size)
    if data is None:
        raise UnspeechError("this model takes waveforms: give the data directory by --data")
    return read_waveforms(data, config.sample_rate, read_table(feats))


def write_zerospeech(
    directory: Path, utterance: str, rows: np.ndarray, stride: int, config: Config
) -> None:
    """Write `<utterance>.fea`: a line a row, the time of its window's middle in seconds first.

    Source: the feature format of the Zero Resource Speech Challenge 2017.
    """
    times = (np.arange(len(rows)) * stride + config.window_length / 2) / config.input_rate
    with atomic_write(directory / f"{utterance}.fea") as file:
        np.savetxt(file, np.column_stack([times, rows]), fmt="%.7g")


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("kind", choices=["ivectors", "utterances"])
    parser.add_argument("--feats", required=True, type=Path, help="feats.scp, or an .ark file")
    parser.add_argument(
        "--data",
        help="with an end-to-end model: data directory with the audio of the utterances that "
        "--feats lists, a table such as its wav.scp",
    )
    parser.add_argument("--model", required=True, help="model directory")
    parser.add_argument(
        "--period",
        type=int,
        help="--genfeat-stride, in frames of 10 ms with an end-to-end model too; for utterances "
        "the default is half a window",
    )
    parser.add_argument("--ark", required=True, type=Path, help="output; its scp stands beside it")
    parser.add_argument(
        "--output-feat-format",
        choices=["kaldi_bin", "kaldi_text", "unsup_challenge2017"],
        default="kaldi_bin",
        help="unsup_challenge2017: one text file an utterance, in the folder that --ark names",
    )
    add_options(parser, RowOptions, "what the rows are made of")
    options = parser.parse_args()

    given = given_options(options, RowOptions)
    model = load_model(options.model)
    config = model.config
    if options.period is not None:
        given["genfeat_stride"] = options.period * config.input_rate // FRAMES_A_SECOND
    elif options.kind == "utterances":
        # The mean over windows that overlap by half says what the mean over more would.
        given.setdefault("genfeat_stride", max(1, config.window_length // 2))
    else:
        stride = RowOptions.genfeat_stride * config.input_rate // FRAMES_A_SECOND
        given.setdefault("genfeat_stride", stride)
    embedder = Embedder(model, RowOptions(**given))
    utterances = inputs(options.feats, options.data, config)
    rows_of = tqdm(embedder.rows(utterances), unit="utt", disable=not sys.stderr.isatty())
    count = 0
    if options.output_feat_format == "unsup_challenge2017":
        for name, rows in rows_of:
            write_zerospeech(options.ark, name, rows, embedder.stride, config)
            count += 1
    else:
        with ArkWriter(options.ark, text=options.output_feat_format == "kaldi_text") as writer:
            for name, rows in rows_of:
                writer.write(name, unit_mean(rows) if options.kind == "utterances" else rows)
                count += 1
    print(f"Embedded {count} utterances, a row every {embedder.stride} frames")


if __name__ == "__main__":
    run_program(main)
