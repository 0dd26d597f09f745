"""Train a model on a data directory, without labels.

    python3 -m unspeech.train --config conf/unspeech_64.yaml --data data/train --dir exp/model

Killed and started again with the same command, it goes on from the last checkpoint.
"""

from pathlib import Path

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import COUNT, Number
from unspeech.cli.options import OptionParser
from unspeech.files.atomic import atomic_write
from unspeech.files.settings import add_options, given_options
from unspeech.kaldi.copies import recordings_of
from unspeech.kaldi.features import MemmapOptions
from unspeech.network.config import Config
from unspeech.network.config_files import config_from_options
from unspeech.network.inputs import load_inputs
from unspeech.training.claim import claim_directory, describe_data
from unspeech.training.groupings import groupings_of
from unspeech.training.sampling import Batch, first_batch


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--config", help="YAML file of settings")
    parser.add_argument(
        "--data", "--filelist", required=True, help="data directory, or .scp or .ark file"
    )
    parser.add_argument("--dir", required=True, help="model directory")
    parser.add_argument(
        "--max-minutes",
        type=Number(float, "(0, inf)"),
        help="stop after so many minutes of training",
    )
    parser.add_argument(
        "--test-sampling",
        action="store_true",
        help="do not train, but draw the windows of the first step: sampling.png in --dir",
    )
    parser.add_argument(
        "--num-gpus",
        type=Number(int, "[0, 1024]"),
        default=1,
        help="GPUs to train on, of each worker",
    )
    parser.add_argument(
        "--num-workers", type=COUNT, default=1, help="processes that train together"
    )
    parser.add_argument("--worker", type=COUNT, default=1, help="which of them this is, from 1")
    add_options(parser, Config, "settings of the model, over those of --config")
    add_options(parser, MemmapOptions, "features of more than fits into memory")
    options = parser.parse_args()
    if options.worker > options.num_workers:
        raise UnspeechError(f"--worker {options.worker}: there are {options.num_workers} only")
    config = config_from_options(options, options.config)
    directory = Path(options.dir)

    windows = config.has_network or options.test_sampling
    memmap = given_options(options, MemmapOptions)
    corpus = load_inputs(options.data, config, keep=windows, **memmap)
    recordings = recordings_of(corpus.utterances, options.data)
    groupings = groupings_of(corpus, options.data, config)
    if options.test_sampling:
        draw_sampling(
            first_batch(config, corpus, recordings, groupings), config, directory / "sampling.png"
        )
        return
    trained_on = describe_data(corpus, options.data, recordings, groupings, config)
    if claim_directory(directory, config, trained_on, options.max_minutes):
        print(f"{directory} is trained already: nothing to do")
        return
    if not config.has_network:
        print(f"No network to train for {directory}: its head is solved from contexts")
        return
    # Imported here, as it takes seconds, and a model without a network does not need it.
    from unspeech.embedding.row_statistics import write_row_statistics
    from unspeech.network.model import finish_model, in_full_precision
    from unspeech.training.log import summary
    from unspeech.training.trainer import train_network

    model = train_network(config, corpus, recordings, groupings, directory, options)
    if model is None:
        return
    if corpus.lengths.max() >= config.window_length:  # units of ali_ctm may all be shorter
        write_row_statistics(in_full_precision(model), corpus, directory)
    model_id = finish_model(model, directory)
    for line in summary(directory):
        print(f"Summary: {line}")  # train.sh shows these lines
    print(f"Trained model {model_id} is in {directory}")


def draw_sampling(batch: Batch, config: Config, path: Path) -> None:
    """Draw the windows of the first training step into a PNG file."""
    # Imported here, as training draws nothing.
    from unspeech.evaluation.feature_plots import sampled_batch

    with atomic_write(path, "wb") as file:
        file.write(sampled_batch(batch, config, f"first draw of step 1, seed {config.seed}"))
    print(
        f"The first step, seed {config.seed}: {len(batch.targets)} targets, {config.contexts} "
        f"contexts of each, {len(batch.negatives)} negative pairs; {path} shows the first of them"
    )


if __name__ == "__main__":
    run_program(main)
