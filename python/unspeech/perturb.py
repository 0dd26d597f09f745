"""Add copies of every utterance at 0.9 and 1.1 times its speed to a data directory.

    python3 -m unspeech.perturb --out data/train_sp data/train

The files are those of Kaldi's `utils/data/perturb_data_dir_speed_3way.sh`: names of copies begin
with `sp0.9-` and `sp1.1-`, entries of wav.scp are pipes to sox. Where there is no sox,
`unspeech.audio.utterances` does what such a pipe says.
"""

import shutil
from pathlib import Path

from unspeech.audio.speed import make_perturbed_data_dir
from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.kaldi.data_dir import add_replace_option, new_data_dir


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--out", required=True, type=Path, help="data directory to write")
    parser.add_argument("--made", type=Path, help="what Kaldi's script made of it, to put there")
    add_replace_option(parser)
    parser.add_argument("data", type=Path, help="data directory with audio")
    options = parser.parse_args()
    replace = options.replace == "true"
    if options.made:
        with new_data_dir(options.out, replace) as part:
            shutil.copytree(options.made, part, dirs_exist_ok=True)
        return
    make_perturbed_data_dir(options.data, options.out, replace)


if __name__ == "__main__":
    run_program(main)
