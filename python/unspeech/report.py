"""Write one page that shows a whole run: what was trained, and how well it separates speakers.

    python3 -m unspeech.report --dir exp/demo --out exp/demo/report.html

The page holds its pictures and asks for no other file. What a run lacks is said on the page.
"""

import argparse
from pathlib import Path

from unspeech.cli.errors import run_program
from unspeech.evaluation.report import render
from unspeech.files.atomic import atomic_write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dir", required=True, type=Path, help="directory of a run")
    parser.add_argument("--out", required=True, type=Path, help="the page, .html")
    parser.add_argument(
        "--corpora", nargs="+", help="those of the run; default: all that the directory has"
    )
    options = parser.parse_args()
    page = render(options.dir, options.corpora)
    with atomic_write(options.out) as file:
        file.write(page)
    print(f"The report is in {options.out}")


if __name__ == "__main__":
    run_program(main)
