"""Embed utterances with a trained model: rows over time, or one vector an utterance.

    python3 -m unspeech.embed ivectors --feats data/dev/feats.scp --model exp/model --ark iv.1.ark
    python3 -m unspeech.embed utterances --feats data/dev/feats.scp --model exp/model --ark e.1.ark
    copy-feats scp:data/dev/feats.scp ark,t:- | \
      python3 -m unspeech.embed --online --feats - --model exp/model --ark -

What is done to the rows has the names of the original's options (`genfeat_…`).
"""

import sys
from contextlib import nullcontext
from pathlib import Path

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import COUNT, SEED, Number
from unspeech.cli.options import OptionParser
from unspeech.embedding.outputs import write_directory_files, write_zerospeech
from unspeech.embedding.row_maker import row_maker
from unspeech.embedding.rows import RowOptions, default_options
from unspeech.embedding.streams import blocks_of, embed_online, read_text_frames
from unspeech.files.settings import add_options, given_options
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import read_table
from unspeech.network.config import FRAMES_A_SECOND
from unspeech.network.inputs import read_inputs
from unspeech.network.model_dir import check_complete, config_of


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
    check_complete(Path(options.model))
    config = config_of(Path(options.model))
    if options.test_perf or options.output_feat_format == "unit_emb":
        if not config.has_network:
            raise UnspeechError(f"{options.model}: --test-perf and unit_emb are for networks")
        # Imported here, as it takes seconds, and a model without a network does not need it.
        from unspeech.embedding.network_rows import embed_units, test_perf

        if options.test_perf:
            test_perf(options)
        if options.output_feat_format == "unit_emb":
            embed_units(options)
            return
    if options.period is not None:
        given["genfeat_stride"] = options.period * config.input_rate // FRAMES_A_SECOND
    elif options.kind == "utterances":
        # The mean over windows that overlap by half says what the mean over more would.
        given.setdefault("genfeat_stride", max(1, config.window_length // 2))
    else:
        stride = RowOptions.genfeat_stride * config.input_rate // FRAMES_A_SECOND
        given.setdefault("genfeat_stride", stride)
    row_options = RowOptions(**default_options(options.model, config, given))
    maker = row_maker(options.model, row_options, config.has_network)
    if not config.has_network:
        # For good: several threads wait for each other, and round in another way.
        threadpool_limits(1, "blas")
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
            utterances = blocks_of(read_inputs(options.feats, options.data, config), config)
        count = embed_online(maker.online(), utterances, None if live else writer, spk2utt)
    else:
        utterances = read_inputs(options.feats, options.data, config)
        if options.kind == "utterances":
            made = maker.vectors(utterances)
        else:
            made = maker.rows(utterances, spk2utt)
        count = 0
        progress = tqdm(made, unit="utt", disable=not sys.stderr.isatty())
        with nullcontext() if ark_format == "unsup_challenge2017" else writer:
            for name, rows in progress:
                if ark_format == "unsup_challenge2017":
                    write_zerospeech(options.ark, name, rows, row_options, config)
                else:
                    writer.write(name, rows)
                count += 1
    if options.kind == "ivectors" and not live and ark_format.startswith("kaldi_"):
        period = round(row_options.genfeat_stride * FRAMES_A_SECOND / config.input_rate)
        write_directory_files(options.ark.parent, options.model, row_options, period)
    rows = (
        "" if options.kind == "utterances" else f", a row every {row_options.genfeat_stride} frames"
    )
    print(f"Embedded {count} utterances{rows}", file=sys.stderr if live else sys.stdout)


if __name__ == "__main__":
    run_program(main)
