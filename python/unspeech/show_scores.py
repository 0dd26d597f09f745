"""Print the figures of a scores.json or clusters.json, a line each.

python3 -m unspeech.show_scores exp/eval_dev/scores.json
"""

from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.cli.options import OptionParser
from unspeech.files.text import read_json


def table_of(scores: dict) -> str:
    """The figures as lines for a terminal."""
    return "\n".join(
        f"{name:<20}{value:>14,}" if isinstance(value, int) else f"{name:<20}{value:>14.4g}"
        for name, value in scores.items()
        if isinstance(value, int | float)
    )


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("scores", type=Path, help="scores.json, clusters.json")
    options = parser.parse_args()
    print(f"{options.scores}:")
    print(table_of(read_json(options.scores)))


if __name__ == "__main__":
    run_program(main)
