"""Turn a checkpoint of the original TensorFlow 1 program into a model directory.

    python3 -m unspeech.import_tf1 runs/tf10-12000 exp/model --params runs/tf10params
    python3 -m unspeech.import_tf1 runs/tf10-12000 exp/model --window-length 64 --fc-size 1024

Settings are those of the options, else of the original's `params` file, which it leaves beside
its checkpoints (found there without --params), else what the checkpoint itself shows.
"""

import re
from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.files.settings import add_options, given_options
from unspeech.network.config import Config
from unspeech.network.import_tf1 import import_checkpoint


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("checkpoint", help="its prefix, without .index or .data")
    parser.add_argument("dir", type=Path, help="model directory")
    parser.add_argument("--params", type=Path, help="the params file of the original's run")
    add_options(parser, Config, "settings of the model, over those of --params")
    options = parser.parse_args()
    beside = Path(re.sub(r"-\d+$", "", options.checkpoint) + "params")
    params = options.params or (beside if beside.exists() else None)
    model_id = import_checkpoint(
        options.checkpoint, options.dir, params, given_options(options, Config)
    )
    source = f" with the settings of {params}" if params else ""
    print(f"Imported {options.checkpoint}{source}; model {model_id} is in {options.dir}")


if __name__ == "__main__":
    run_program(main)
