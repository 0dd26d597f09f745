"""Embed utterances with a trained model: rows over time, or one vector an utterance.

    python3 -m unspeech.embed ivectors --feats data/dev/feats.scp --model exp/model --ark iv.1.ark
    python3 -m unspeech.embed utterances --feats data/dev/feats.scp --model exp/model --ark e.1.ark
    copy-feats scp:data/dev/feats.scp ark,t:- | \
      python3 -m unspeech.embed --online --feats - --model exp/model --ark -

What is done to the rows has the names of the original's options (`genfeat_…`).
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unspeech.accuracy import sampled_accuracy
from unspeech.alignments import read_ctm
from unspeech.archives import ArkWriter, iterate_arrays
from unspeech.config import FRAMES_A_SECOND, Config, add_options, given_options
from unspeech.embedder import Embedder
from unspeech.errors import UnspeechError, run_program
from unspeech.features import Corpus, check_features, load_corpus
from unspeech.files import utterance_file
from unspeech.limits import COUNT, SEED, Number
from unspeech.model import UnspeechModel, load_model
from unspeech.online import OnlineEmbedder, embed_online, read_text_frames
from unspeech.options import OptionParser
from unspeech.rows import RowOptions, averaged, is_of_original, load_scale, rows_id, unit_mean
from unspeech.tables import atomic_write, read_table
from unspeech.waveforms import read_waveforms
from unspeech.windows import UnitEmbedder


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
    directory: Path, utterance: str, rows: np.ndarray, options: RowOptions, config: Config
) -> None:
    """Write `<utterance>.fea`: a line a row, the time of its window's middle in seconds first.

    Raises:
        UnspeechError: when the utterance's name cannot be that of a file.
    Source: the feature format of the Zero Resource Speech Challenge 2017.
    """
    frames = np.arange(len(rows)) * options.genfeat_stride
    length = config.window_length
    if options.causal:
        begins, ends = np.maximum(frames + 1 - length, 0), frames + 1
    else:
        begins, ends = frames, frames + length
    if not np.isfinite(rows).all():
        raise UnspeechError(f"{directory}: utterance '{utterance}': NaN or infinite rows")
    with atomic_write(utterance_file(directory, utterance, ".fea")) as file:
        times = (begins + ends) / 2 / config.input_rate
        np.savetxt(file, np.column_stack([times, rows]), fmt="%.7g")


def blocks_of(
    utterances: Iterable[tuple[str, np.ndarray]], config: Config
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Cut each utterance's features into frames, or its audio into blocks of 10 ms."""
    step = config.input_rate // FRAMES_A_SECOND
    for name, features in utterances:
        yield name, (features[i : i + step] for i in range(0, len(features), step))


def write_directory_files(directory: Path, model: str, options: RowOptions, period: int) -> None:
    """Write what makes a directory of matrices one of Kaldi's i-vectors, beside its archives."""
    with atomic_write(directory / "ivector_period") as file:
        file.write(f"{period}\n")
    with atomic_write(directory / "final.ie.id") as file:
        file.write(rows_id(model, options))


def embed_units(model: UnspeechModel, options: argparse.Namespace) -> None:
    """Write `<utterance> <unit> [<number>,…]` lines: the embedding of each unit of a CTM file.

    A unit that runs over the end of its utterance ends there.
    """
    if not options.ali_ctm:
        raise UnspeechError("unit_emb: give the units by --ali-ctm")
    alignments = read_ctm(options.ali_ctm)
    embedder = UnitEmbedder(model)
    utterances = inputs(options.feats, options.data, model.config)
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


def test_perf(model: UnspeechModel, options: argparse.Namespace) -> None:
    """Measure how often the model tells positive pairs of the corpus from negative ones."""
    config = model.config
    if config.end_to_end:
        names, waveforms = zip(*inputs(options.feats, options.data, config), strict=True)
        corpus = Corpus.in_memory(list(names), list(waveforms))
    else:
        corpus = load_corpus(options.feats, config.feat_size)
    drawn = options.test_perf_samples, options.seed, options.spk2utt or "", options.ali_ctm
    accuracies, guessed = sampled_accuracy(model, corpus, *drawn)
    with atomic_write(options.ark.with_suffix(".sampled_accuracy")) as file:
        file.write(f"SUMMARY:\nmean accuracy:{accuracies.mean()}\n")
        file.write(f"majority accuracy:{guessed}\nBATCHES:\n")
        file.writelines(f"{accuracy}\n" for accuracy in accuracies)
    print(
        f"mean accuracy {accuracies.mean():.4f}, majority class accuracy {guessed:.4f}: "
        f"{len(accuracies)} batches, seed {options.seed}",
        flush=True,
    )


def make_parser() -> OptionParser:
    parser = OptionParser(__doc__)
    parser.add_argument("kind", choices=["ivectors", "utterances"], nargs="?", default="ivectors")
    parser.add_argument(
        *("--feats", "--filelist"),
        required=True,
        type=Path,
        help="feats.scp, or an .ark file; with --online also - for a text archive on stdin",
    )
    parser.add_argument(
        "--data",
        help="with an end-to-end model: data directory with the audio of the utterances that "
        "--feats lists, a table such as its wav.scp",
    )
    parser.add_argument("--model", required=True, help="model directory")
    parser.add_argument(
        "--period",
        type=Number(int, "[1, 1000000]"),
        help="--genfeat-stride, in frames of 10 ms with an end-to-end model too; for utterances "
        "the default is half a window",
    )
    parser.add_argument(
        "--ark",
        required=True,
        type=Path,
        help="output; its scp stands beside it; with --online also - for text on stdout",
    )
    parser.add_argument(
        "--output-feat-format",
        choices=["kaldi_bin", "kaldi_compressed", "kaldi_text", "unsup_challenge2017", "unit_emb"],
        default="kaldi_bin",
        help="unsup_challenge2017: one text file an utterance, in the folder that --ark names; "
        "unit_emb: a line a unit of --ali-ctm, in a text file beside --ark",
    )
    parser.add_argument("--ali-ctm", default="", help="CTM file of units")
    parser.add_argument(
        "--online",
        action="store_true",
        help="make --causal rows frame by frame, and say how late they are",
    )
    parser.add_argument(
        "--spk2utt",
        help="speakers, for --average running and speaker; --test-perf draws negative pairs within",
    )
    add_options(parser, RowOptions, "what the rows are made of")
    test = parser.add_argument_group("accuracy of the model on these utterances, measured before")
    test.add_argument(
        "--test-perf",
        action="store_true",
        help="how often it tells adjacent windows from random ones: <ark>.sampled_accuracy",
    )
    test.add_argument("--test-perf-samples", type=COUNT, default=100, help="batches of pairs (100)")
    test.add_argument("--seed", type=SEED, default=1, help="of the draws (1)")
    return parser


def main() -> None:
    options = make_parser().parse_args()
    given = given_options(options, RowOptions)
    if options.online:
        given["causal"] = True
        if options.kind != "ivectors" or not options.output_feat_format.startswith("kaldi_"):
            raise UnspeechError("--online makes ivectors, in one of Kaldi's formats")
    model = load_model(options.model)
    config = model.config
    if options.test_perf:
        test_perf(model, options)
    if options.output_feat_format == "unit_emb":
        embed_units(model, options)
        return
    if options.period is not None:
        given["genfeat_stride"] = options.period * config.input_rate // FRAMES_A_SECOND
    elif options.kind == "utterances":
        # The mean over windows that overlap by half says what the mean over more would.
        given.setdefault("genfeat_stride", max(1, config.window_length // 2))
    else:
        stride = RowOptions.genfeat_stride * config.input_rate // FRAMES_A_SECOND
        given.setdefault("genfeat_stride", stride)
    if not given.get("causal") and not config.end_to_end:
        given.setdefault("rows_as_original", is_of_original(options.model))
    row_options = RowOptions(**given)
    embedder_kind = OnlineEmbedder if options.online else Embedder
    embedder = embedder_kind(model, row_options, load_scale(options.model, row_options))
    spk2utt = read_table(options.spk2utt) if options.spk2utt else {}
    ark_format = options.output_feat_format
    writer = ArkWriter(
        options.ark, text=ark_format == "kaldi_text", compress=ark_format == "kaldi_compressed"
    )
    live = options.online and str(options.ark) == "-"

    if options.online:
        if str(options.feats) == "-":
            utterances = read_text_frames(sys.stdin, config.input_size)
        else:
            utterances = blocks_of(inputs(options.feats, options.data, config), config)
        count = embed_online(embedder, utterances, None if live else writer, spk2utt)
    else:
        rows_of = averaged(
            embedder.rows(inputs(options.feats, options.data, config)),
            row_options,
            config.input_rate,
            spk2utt,
        )
        count = 0
        progress = tqdm(rows_of, unit="utt", disable=not sys.stderr.isatty())
        with nullcontext() if ark_format == "unsup_challenge2017" else writer:
            for name, rows in progress:
                if ark_format == "unsup_challenge2017":
                    write_zerospeech(options.ark, name, rows, row_options, config)
                else:
                    writer.write(name, unit_mean(rows) if options.kind == "utterances" else rows)
                count += 1
    if options.kind == "ivectors" and not live and ark_format.startswith("kaldi_"):
        period = round(row_options.genfeat_stride * FRAMES_A_SECOND / config.input_rate)
        write_directory_files(options.ark.parent, options.model, row_options, period)
    print(
        f"Embedded {count} utterances, a row every {row_options.genfeat_stride} frames",
        file=sys.stderr if live else sys.stdout,
    )


if __name__ == "__main__":
    run_program(main)
