"""The model without a network: statistics of the frames themselves under a solved head.

    model = load_statistics_model("exp/model")
    vector = model.embed(features)  # (frames, 40) to (396,)

It needs no TensorFlow, so it starts in a second. Everything comes from sums over frames, which add
up: rows over time, an utterance, and all that a speaker has said so far.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.network.config import Config
from unspeech.network.model_dir import check_complete, check_id, config_of, read_head
from unspeech.network.pooling import StatisticsPooling, cosine_transform, statistics_named
from unspeech.network.solved_head import SolvedHead, unit_length

_LEAST_WINDOW = 30  # frames; shorter ones say too little of what varies within a recording


@dataclasses.dataclass(frozen=True)
class Pooled:
    """What a head is solved from and applied to, of one utterance.

    Attributes:
        utterance: its name.
        values: (width,) over all of it.
        windows: (windows, width) of the windows that it is cut into.
        sums: (sums_width,) that values come from, where they come from sums; else empty.
    """

    utterance: str
    values: np.ndarray
    windows: np.ndarray
    sums: np.ndarray


class StatisticsValues:
    """Pools the features of utterances.

    Attributes:
        pooling: the statistics.
        width: of the pooled values.
        sums_width: of the sums that they come from.

    Args:
        config: settings; `embedding_transformation` is `Statistics`.
    """

    def __init__(self, config: Config) -> None:
        names = statistics_named(config.pooling, "settings")
        channels = min(config.correlation_channels, config.feat_size)
        projection = cosine_transform(channels, config.feat_size)
        self.pooling = StatisticsPooling(config.feat_size, names, projection)
        self.width, self.sums_width = self.pooling.width, self.pooling.sums_width
        self._window_length = config.window_length

    def pooled(
        self, utterances: Iterable[tuple[str, np.ndarray]], alone: Callable[[str], bool]
    ) -> Iterator[Pooled]:
        """Pool utterances.

        The windows of an utterance are of about `window_length` frames and cover all of it.

        Args:
            utterances: (name, (frames, feat_size) features).
            alone: whether an utterance is the only one of its recording: then one that is not as
                long as two windows is cut in half, unless its halves would be tiny.
        """
        for name, features in utterances:
            count = max(1, len(features) // self._window_length)
            if count == 1 and len(features) >= 2 * _LEAST_WINDOW and alone(name):
                count = 2
            edges = np.linspace(0, len(features), count + 1).astype(int)
            sums = self.pooling.sums(features, edges)
            whole = sums.sum(axis=0)
            yield Pooled(name, self.pooling.values(whole), self.pooling.values(sums), whole)


class StatisticsModel:
    """Statistics of features and a head.

    Attributes:
        config: settings.
        values: pools features.
        head: maps what is pooled.
        dim: of an embedding.
    """

    def __init__(self, config: Config, head: SolvedHead) -> None:
        self.config, self.head = config, head
        self.values = StatisticsValues(config)
        self.dim = head.dim

    def embed(self, features: np.ndarray) -> np.ndarray:
        """(frames, feat_size) features of an utterance to (dim,) float32 of unit length."""
        (pooled,) = self.values.pooled([("", features)], lambda name: False)
        return unit_length(self.head(pooled.values))


def load_statistics_model(directory: str | Path) -> StatisticsModel:
    """Load a model that has no network.

    Raises:
        UnspeechError: when the directory holds no complete model, it was changed since it was made,
            or its model has a network.
    """
    directory = Path(directory)
    check_complete(directory)
    config = config_of(directory)
    if config.has_network:
        raise UnspeechError(
            f"{directory}: embedding_transformation is {config.embedding_transformation}, a network"
        )
    head = read_head(directory)
    check_id(directory, ())
    return StatisticsModel(config, head)
