"""Solve the head of a model from contexts, as the last step of training and for other corpora.

    python3 -m unspeech.solve contexts --feats data/train/feats.scp --data data/train --out contexts
    python3 -m unspeech.solve sums --model exp/model --feats feats.1.scp --contexts contexts \\
        --values values.1.ark --sums sums.1.npz
    python3 -m unspeech.solve head --model exp/model --sums sums.1.npz sums.2.npz
    python3 -m unspeech.solve head --model exp/model --sums sums.1.npz --weight 1 --out exp/adapted
    python3 -m unspeech.solve embed --model exp/adapted --values values.scp --ark embedding.ark

`contexts` names the recording of each utterance; `sums` goes through features once, in bounded
memory, and its sums add up over jobs; `head` solves, in seconds: for the corpus that a model is
trained on, or with --out for another one. With --clusters, those of the utterances are contexts as
well. `embed` applies a head to pooled values.
"""

from pathlib import Path

from threadpoolctl import threadpool_limits

from unspeech.cli.errors import run_program
from unspeech.cli.limits import Number
from unspeech.cli.options import OptionParser
from unspeech.embedding.adaptation import (
    adapt_model,
    embed_values,
    solve_model,
    write_contexts,
    write_sums,
)


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("what", choices=["contexts", "sums", "head", "embed"])
    parser.add_argument("--feats", type=Path, help="table or archive of features")
    parser.add_argument("--data", help="data directory of the utterances")
    parser.add_argument("--model", type=Path, help="model directory")
    parser.add_argument("--contexts", type=Path, help="sums: what `contexts` wrote")
    parser.add_argument("--values", type=Path, help="pooled values, an archive: written, or read")
    parser.add_argument(
        "--sums", type=Path, nargs="+", help="what `sums` writes, and `head` solves from"
    )
    parser.add_argument("--out", type=Path, help="contexts: the table; head: another model")
    parser.add_argument(
        "--weight",
        type=Number(float, "[0, 1000]"),
        default=1.5,
        help="head, with --out: of this corpus beside the one trained on (1.5)",
    )
    parser.add_argument("--clusters", type=Path, help="head: clusters directory of --values")
    parser.add_argument(
        "--embedding-size", type=Number(int, "[0, 100000]"), help="head, with --out: 0 for all"
    )
    parser.add_argument(
        "--seconds", type=Number(float, "[0, inf)"), default=0, help="head: that sums took, to log"
    )
    parser.add_argument("--ark", type=Path, help="embed: archive to write")
    options = parser.parse_args()
    needed = {
        "contexts": ["feats", "data", "out"],
        "sums": ["feats", "model", "contexts", "values", "sums"],
        "head": ["model", "sums"] + ["values"] * bool(options.clusters),
        "embed": ["model", "values", "ark"],
    }[options.what]
    for name in needed:
        if getattr(options, name) is None:
            parser.error(f"{options.what} needs --{name}")
    # Products of small matrices gain nothing by several threads, and lose by waiting for them; and
    # the head, whose id is that of its bytes, must not depend on their number.
    with threadpool_limits(1, "blas"):
        run(options)


def run(options) -> None:
    model, feats, data = options.model, options.feats, options.data
    if options.what == "contexts":
        write_contexts(feats, data, options.out)
    elif options.what == "sums":
        (sums,) = options.sums
        write_sums(model, feats, data, options.contexts, options.values, sums)
    elif options.what == "embed":
        embed_values(model, options.values, options.ark)
    elif options.out is None:
        print(f"Summary: {solve_model(model, options.sums, options.seconds)}")
    else:
        clustered = (options.clusters, options.values) if options.clusters else None
        settings = options.weight, clustered, options.embedding_size
        print(f"Summary: {adapt_model(model, options.sums, options.out, *settings)}")


if __name__ == "__main__":
    run_program(main)
