"""What makes rows and vectors with a model directory, whichever kind of model it holds."""

from unspeech.embedding.rows import RowOptions
from unspeech.embedding.statistics import load_statistics_model
from unspeech.embedding.statistics_rows import StatisticsRows


def row_maker(model: str, options: RowOptions, network: bool):
    """What makes rows and vectors with a model directory: `NetworkRows` or `StatisticsRows`."""
    if not network:
        return StatisticsRows(load_statistics_model(model), options)
    # Imported here, as it takes seconds, and a model without a network does not need it.
    from unspeech.embedding.network_rows import NetworkRows

    return NetworkRows(model, options)
