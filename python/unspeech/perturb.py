"""Add copies of every utterance at 0.9 and 1.1 times its speed to a data directory.

    python3 -m unspeech.perturb --out data/train_sp data/train

The files are those of Kaldi's `utils/data/perturb_data_dir_speed_3way.sh`: names of copies begin
with `sp0.9-` and `sp1.1-`, entries of wav.scp are pipes to sox, for Kaldi's programs. Our own do
what such a pipe says without sox (`unspeech.audio.utterances`).
"""

from pathlib import Path

from unspeech.audio.speed import make_perturbed_data_dir
from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.kaldi.data_dir import add_replace_option


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--out", required=True, type=Path, help="data directory to write")
    add_replace_option(parser)
    parser.add_argument("data", type=Path, help="data directory with audio")
    options = parser.parse_args()
    make_perturbed_data_dir(options.data, options.out, options.replace == "true")


if __name__ == "__main__":
    run_program(main)
