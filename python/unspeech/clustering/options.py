"""Options that the programs of clustering share."""

import argparse
import os
from pathlib import Path

from unspeech.cli.limits import SEED, Number
from unspeech.cli.options import OptionParser
from unspeech.kaldi.vectors import (
    add_vector_options,
)


def add_graph_options(parser: argparse.ArgumentParser) -> None:
    """The options of the programs that make a graph."""
    add_vector_options(parser, "take of each vector the values from this index on; -1: all")
    parser.add_argument("--seed", type=SEED, default=1, help="of whatever is drawn at random")
    add_threads_option(parser)


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=Number(int, "[1, 4096]"),
        default=len(os.sched_getaffinity(0)),
        help="default: all cores",
    )


OUTLIER_POLICIES = ("own", "nearest", "leave-out")  # of outliers, see `settle_outliers`


def clusters_parser(description: str) -> OptionParser:
    """A parser of the options that all these programs have."""
    parser = OptionParser(description)
    parser.add_argument("--embeddings", required=True, help="directory, scp or ark of vectors")
    parser.add_argument("--out", required=True, type=Path, help="clusters directory")
    parser.add_argument(
        "--utt2spk",
        type=lambda path: None if path == "none" else path,
        help="gold speakers, for scores only; none: no scores",
    )
    return parser


def add_outliers_option(parser: OptionParser, default: str) -> None:
    parser.add_argument(
        "--outliers",
        choices=OUTLIER_POLICIES,
        default=default,
        help="a speaker each, the nearest cluster, or left out",
    )


EXACT_UP_TO = 2000  # utterances: so few take less than a second with all their distances


def add_algorithm_options(parser: argparse.ArgumentParser) -> None:
    """How HDBSCAN finds and selects clusters, whatever their sizes."""
    parser.add_argument(
        "--algorithm",
        choices=["auto", "exact", "approximate"],
        default="auto",
        help=f"auto: exact up to {EXACT_UP_TO} utterances, and for metrics that have no graph",
    )
    parser.add_argument("--cluster-selection-method", choices=["eom", "leaf"], default="eom")
    parser.add_argument(
        "--cluster-selection-epsilon",
        type=Number(float, "[0, inf)"),
        default=0.0,
        help="distance below which clusters are not split",
    )
    add_graph_options(parser)
