"""Make a Kaldi data directory of a corpus: of another one, or of a folder of audio files.

    python3 -m unspeech.corpus --out exp/demo/data/emodb corpora/emodb

A folder with `wav.scp` or `feats.scp` is a data directory; in any other, each audio file is an
utterance, named by its path. Paths become absolute, files are sorted as Kaldi wants them, and an
utterance without a speaker is its own. The same call again finds its output and leaves it.
"""

from pathlib import Path

from unspeech.audio.corpus import make_data_dir
from unspeech.cli.errors import run_program
from unspeech.cli.limits import Number
from unspeech.cli.options import OptionParser
from unspeech.kaldi.data_dir import add_replace_option


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--out", required=True, type=Path, help="data directory to write")
    parser.add_argument(
        "--join-seconds", type=Number(float, "[0, 86400]"), default=0,
        help="join utterances of a speaker, shuffled, until they are this long (0: never)",
    )  # fmt: skip
    parser.add_argument(
        "--features", choices=["true", "false"], default="true", help="whether to keep feats.scp"
    )
    add_replace_option(parser)
    parser.add_argument("corpus", type=Path, help="data directory or folder of audio")
    options = parser.parse_args()
    features = options.features == "true"
    replace = options.replace == "true"
    make_data_dir(options.corpus, options.out, options.join_seconds, features, replace)


if __name__ == "__main__":
    run_program(main)
