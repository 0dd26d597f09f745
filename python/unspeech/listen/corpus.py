"""What is known of a corpus's utterances, in the order of its speakers.

In: a data directory, vectors and a clusters directory.
Out: vectors, neighbours, probabilities, texts, durations and sound of each utterance.
"""

import io
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

from unspeech.audio.decoding import wav_bytes
from unspeech.audio.utterances import DataAudio
from unspeech.cli.errors import UnspeechError
from unspeech.clustering.graph import Graph
from unspeech.corrections.corrected import found_by_clustering
from unspeech.files.origins import file_key
from unspeech.kaldi.tables import read_table
from unspeech.kaldi.vectors import embeddings_file

NEIGHBOURS = 10  # of each utterance
ALL_PAIRS = 30_000  # utterances up to which their neighbours are looked for among all
SOUNDS = 64 << 20  # bytes of sound that are kept for a browser that asks again
RATE = 16000  # Hz, only of recordings that are read with another speed


class Corpus:
    """A corpus and its speakers.

    Attributes:
        found: {utterance: cluster}, before corrections.
        utterances: their order.
        vectors: (utterances, dim) float32.
        neighbours: (utterances, k) numbers of utterances; -1 for none.
        probabilities: (utterances,) float32, that it belongs to its cluster.
        seconds: (utterances,) float32; NaN where it is not known.
        texts: of the utterances, if there are any.

    Args:
        data: data directory.
        embeddings: directory, scp or ark of the vectors that the clusters were made from.
        clusters: clusters directory.
    Raises:
        UnspeechError: when a file is missing or damaged, or they do not go together.
    """

    def __init__(self, data: Path, embeddings: str | Path, clusters: Path) -> None:
        self.data, self.clusters = data, clusters
        self.found = found_by_clustering(clusters)
        utterances = self.utterances = list(self.found)
        graph = Graph(clusters / "graph", 1)
        files = graph.made_from("vectors").get("files", {})
        path = embeddings_file(embeddings)
        copies = (clusters / "originals.scp").exists()  # only some of the vectors were clustered
        if not copies and file_key(path) not in files.values():
            raise UnspeechError(f"{clusters}: was not made from {path}; cluster that again")
        names = graph.utterances()
        rows = {name: row for row, name in enumerate(names)}
        missing = next((name for name in utterances if name not in rows), None)
        if missing is not None:
            raise UnspeechError(f"{clusters}: no vector of utterance '{missing}'; cluster again")
        order = np.array([rows[name] for name in utterances])
        straight = len(order) == len(names) and np.array_equal(order, np.arange(len(order)))
        self.vectors = graph.vectors() if straight else graph.vectors()[order]
        self.neighbours = self._neighbours(graph, order, len(names))
        self.probabilities = _numbers(clusters / "probabilities", utterances, 1)
        self.texts = self._table("text")
        self.seconds = _numbers(data / "utt2dur", utterances, np.nan)
        self.audio = DataAudio(data, RATE)
        known = set(self.audio.utterances)
        unheard = next((name for name in utterances if name not in known), None)
        if unheard is not None:
            raise UnspeechError(
                f"{data}: no audio of utterance '{unheard}' of {clusters}; give the data directory "
                "that was clustered"
            )
        self._sounds: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def _table(self, name: str) -> dict[str, str]:
        path = self.data / name
        return read_table(path, empty_values=True) if path.exists() else {}

    def _neighbours(self, graph: Graph, order: np.ndarray, count: int) -> np.ndarray:
        if (graph.folder / "neighbours.json").exists():
            ids = graph.load("ids")[:, :NEIGHBOURS]
            place = np.full(count + 1, -1, np.int32)
            place[order] = np.arange(len(order))
            return place[ids[order]]
        if len(order) > ALL_PAIRS:
            raise UnspeechError(f"{graph.folder}: holds no neighbours; cluster again by HDBSCAN")
        search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(order) - 1), algorithm="brute")
        return search.fit(self.vectors).kneighbors()[1] if len(order) > 1 else np.full((1, 1), -1)

    def sound(self, utterance: str) -> io.BytesIO:
        """An utterance as a WAV file.

        Raises:
            UnspeechError: when there is no such utterance, or its audio cannot be used.
        """
        with self._lock:
            if utterance in self._sounds:
                self._sounds.move_to_end(utterance)
                return io.BytesIO(self._sounds[utterance])
        sound = wav_bytes(*self.audio.excerpt(utterance))
        with self._lock:
            self._sounds[utterance] = sound
            while sum(map(len, self._sounds.values())) > SOUNDS:
                self._sounds.popitem(last=False)
        return io.BytesIO(sound)


def _numbers(path: Path, utterances: list[str], otherwise: float) -> np.ndarray:
    """(utterances,) float32 of a table, if it is there.

    Raises:
        UnspeechError: for a value that is no number.
    """
    numbers = np.full(len(utterances), otherwise, np.float32)
    table = read_table(path) if path.exists() else {}
    for i, utterance in enumerate(utterances):
        if utterance in table:
            try:
                numbers[i] = float(table[utterance])
            except ValueError:
                numbers[i] = np.inf
            if not np.isfinite(numbers[i]):
                raise UnspeechError(
                    f"{path}: utterance '{utterance}': '{table[utterance]}' is no number; make the "
                    "file again"
                )
    return numbers
