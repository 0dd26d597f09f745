"""The nearest-neighbour graph of many vectors, kept on disk and made in phases.

    python3 -m unspeech.neighbours index --embeddings exp/embeddings/demo --graph exp/clusters/graph
    python3 -m unspeech.neighbours search --graph exp/clusters/graph --job 1 --jobs 4

The first command prepares what all jobs of the second share; `unspeech.cluster` does alone what
is missing. What the folder holds is listed in `clustering/graph.py`.
"""

from pathlib import Path

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import COUNT
from unspeech.cli.options import OptionParser
from unspeech.clustering.graph import Graph, store_vectors
from unspeech.clustering.neighbours import build_index, graph_width, search_blocks
from unspeech.clustering.options import add_graph_options


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("kind", choices=["index", "search"])
    parser.add_argument("--graph", required=True, type=Path, help="folder of the graph")
    parser.add_argument("--embeddings", help="for index: directory, scp or ark")
    add_graph_options(parser)
    parser.add_argument("--min-samples", type=COUNT, default=1, help="for search: as of cluster")
    parser.add_argument(
        "--job", type=COUNT, default=1, help="for search: which of the jobs this is"
    )
    parser.add_argument("--jobs", type=COUNT, default=1, help="for search: how many there are")
    options = parser.parse_args()
    graph = Graph(options.graph, options.threads)
    if options.kind == "index":
        if options.embeddings is None:
            raise UnspeechError("index needs --embeddings")
        store_vectors(graph, options.embeddings, vars(options))
        build_index(graph, options.seed)
    elif options.job > options.jobs:
        raise UnspeechError(f"--job is {options.job}; it must lie between 1 and {options.jobs}")
    else:
        width = graph_width(len(graph.vectors()), options.min_samples)
        search_blocks(graph, width, options.job, options.jobs)


if __name__ == "__main__":
    run_program(main)
