"""Mean and standard deviation of embeddings of a model's training speech, for `normalize_rows`.

    python3 -m unspeech.row_statistics --data data/train --model exp/model

Training does this itself at its end; the program is for imported models.
"""

from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.embedding.row_statistics import WINDOWS, write_row_statistics
from unspeech.embedding.rows import STATISTICS
from unspeech.network.inputs import load_inputs
from unspeech.network.model import load_model


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--data", required=True, help="data directory, or .scp or .ark file")
    parser.add_argument("--model", required=True, type=Path, help="model directory")
    options = parser.parse_args()
    model = load_model(options.model)
    config = model.config
    corpus = load_inputs(options.data, config)
    write_row_statistics(model, corpus, options.model)
    print(f"{options.model / STATISTICS}: from {WINDOWS} windows, drawn with seed {config.seed}")


if __name__ == "__main__":
    run_program(main)
