"""Draw features and embeddings as a PNG file.

    python3 -m unspeech.show_feats -i exp/ivectors/ivector_online.scp --feats data/dev/feats.scp \\
        --num-feat 2 --out utterance.png
    python3 -m unspeech.show_feats --mode stats -i exp/ivectors/ivector_online.scp --out stats.png
    python3 -m unspeech.show_feats --mode classes_tsne -i exp/embeddings/embedding.scp \\
        --utt-2-class data/dev/utt2spk --out speakers.png
    python3 -m unspeech.show_feats --mode filters -i exp/model_e2e --out filters.png
"""

from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.limits import COUNT, SEED, Number
from unspeech.cli.options import OptionParser
from unspeech.evaluation.pictures import MODES
from unspeech.files.atomic import atomic_write


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument(
        *("-i", "--input-featfile"),
        required=True,
        help="directory of i-vectors or embeddings, .scp or .ark; for filters a model directory",
    )
    parser.add_argument("--mode", choices=MODES, default="featshow", help="what to draw (featshow)")
    parser.add_argument("--out", required=True, type=Path, help="PNG file")
    parser.add_argument(
        *("-n", "--num-feat"),
        type=Number(int, "[0, inf)"),
        default=2,
        help="featshow: which utterance, from 0 (2)",
    )
    parser.add_argument(
        *("-m", "--max-frames"), type=COUNT, default=10_000, help="featshow: rows at most (10000)"
    )
    parser.add_argument("--feats", help="featshow: feats.scp of features to draw above")
    parser.add_argument(
        *("-p", "--phn-file"), help="featshow: CTM file, or TIMIT's phone file of this utterance"
    )
    parser.add_argument(*("-u", "--utt-2-class"), help="classes_tsne: utt2spk, or other classes")
    parser.add_argument(
        "--seed", type=SEED, default=1, help="classes_tsne: of the sample, t-SNE (1)"
    )
    options = parser.parse_args()
    picture = MODES[options.mode](options)
    with atomic_write(options.out, "wb") as file:
        file.write(picture)
    print(options.out)


if __name__ == "__main__":
    run_program(main)
