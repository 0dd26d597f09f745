"""What a solved head is applied to: values pooled by any kind of model, per utterance."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from unspeech.embedding.statistics import Pooled, StatisticsValues
from unspeech.network.config import Config


class Values(Protocol):
    """Pools the features of utterances.

    Attributes:
        width: of the pooled values.
        sums_width: of the sums that they come from; 0 where there are none.
    """

    width: int
    sums_width: int

    def pooled(
        self, utterances: Iterable[tuple[str, np.ndarray]], alone: Callable[[str], bool]
    ) -> Iterator[Pooled]:
        """Pool utterances, see `StatisticsValues.pooled`."""


class NetworkValues:
    """Pools with the network of an `UnspeechModel`.

    Of an encoder that pools, what its pooling gives of a whole utterance, and of its windows, which
    stand side by side. Of another one, the mean embedding of windows that overlap by half.
    """

    sums_width = 0

    def __init__(self, model) -> None:
        # Imported here, as it takes seconds, and models without a network do not need it.
        from unspeech.embedding.embedder import Embedder
        from unspeech.embedding.rows import RowOptions
        from unspeech.embedding.windows import UtterancePooler
        from unspeech.network.encoders.tdnn import PooledEncoder

        stride = max(1, model.config.window_length // 2)
        options = RowOptions(genfeat_stride=stride, genfeat_interpolate_outputlength_padding=False)
        self._embedder = Embedder(model, options, pooled=True)
        pools = isinstance(model.target_encoder, PooledEncoder)
        self._pooler = UtterancePooler(model) if pools else None
        self.width = self._embedder.windows.width

    def pooled(
        self, utterances: Iterable[tuple[str, np.ndarray]], alone: Callable[[str], bool]
    ) -> Iterator[Pooled]:
        """See `Values`; an utterance shorter than two windows has one or two that overlap."""
        nothing = np.zeros(0)
        if self._pooler:
            for name, features in utterances:
                yield Pooled(name, *self._pooler.pool(self._embedder.fill(features)), nothing)
            return
        for name, rows in self._embedder.rows(utterances):
            rows = rows.astype(np.float64)
            apart = rows[::2] if len(rows) > 2 else rows
            yield Pooled(name, rows.mean(axis=0), apart, nothing)


def values_of(directory: Path, config: Config) -> Values:
    """What pools for a model of these settings; a network's weights are in the directory."""
    if not config.has_network:
        return StatisticsValues(config)
    from unspeech.network.model import load_model

    return NetworkValues(load_model(directory))
