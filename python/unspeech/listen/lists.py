"""What the page shows of a corpus: lists of speakers and utterances, a page at a time.

In: a corpus and its speakers as they are now.
Out: what is shown of them, ready for JSON.
"""

import threading
from collections.abc import Collection

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage

from unspeech.corrections.actions import NOBODY, CorrectionError
from unspeech.corrections.speakers import Speakers
from unspeech.listen.corpus import Corpus

PARTS = 20  # into which a speaker is cut at most
SAMPLE = 2000  # of a larger speaker's utterances, by which it is cut
ORDERS = ("size", "unsure", "name")


class TurnLock:
    """A lock of which one can tell whether others wait for it.

    Attributes:
        waiting: how many do.
    """

    def __init__(self) -> None:
        self._lock, self._counting = threading.RLock(), threading.Lock()
        self.waiting = 0

    def __enter__(self) -> None:
        self._count(1)
        self._lock.acquire()
        self._count(-1)

    def _count(self, step: int) -> None:
        with self._counting:
            self.waiting += step

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Lists:
    """Lists of a corpus. Every method may be called by any thread."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus, self.speakers = corpus, Speakers(corpus.found)
        self.revision = 0  # of the corrections
        self._lock = TurnLock()
        self._by_id: dict[str, int] = {}
        self._sorted: dict[tuple[int, str], list[int]] = {}
        self._folded: list[str] | None = None
        self.changed()

    def changed(self) -> None:
        """Take notice that speakers have changed."""
        self._by_id = {name: label for label, name in enumerate(self.speakers.ids)}

    def label(self, name: object) -> int:
        """The label of a speaker's id.

        Raises:
            CorrectionError: when there is none with utterances.
        """
        label = self._by_id.get(name) if isinstance(name, str) else None
        if label is None or not len(self.speakers.members(label)):
            raise CorrectionError(f"no speaker '{name!s:.80}'")
        return label

    def speaker(self, label: int) -> dict:
        members = self.speakers.members(label)
        return {
            "id": self.speakers.ids[label],
            "colour": label,
            "name": self.speakers.names.get(label, ""),
            "size": len(members),
            "first": self.speakers.utterances[members[0]],
            "locked": label in self.speakers.locked,
            "probability": round(float(self.corpus.probabilities[members].mean()), 3),
        }

    def list_speakers(
        self, order: str, offset: int, limit: int, query: str = "", ids: Collection[str] = ()
    ) -> dict:
        """A page of the list of speakers.

        Args:
            order: one of ORDERS.
            query: what their names or ids hold.
            ids: only these, as far as they are there; none: all.
        """
        with self._lock:
            if ids:
                known = [self._by_id[name] for name in ids if name in self._by_id]
                labels = [label for label in known if len(self.speakers.members(label))]
            else:
                labels = self._in_order(order)
            if query:
                query = query.casefold()
                title = self.speakers.title
                ids = self.speakers.ids
                labels = [
                    label
                    for label in labels
                    if query in title(label).casefold() or query in ids[label]
                ]
            page = [self.speaker(label) for label in labels[offset : offset + limit]]
            return {"revision": self.revision, "total": len(labels), "items": page}

    def _in_order(self, order: str) -> list[int]:
        key = self.revision, order
        if key not in self._sorted:
            speakers = self.speakers
            labels = speakers.present()
            if order == "name":
                labels.sort(key=lambda label: (label not in speakers.names, speakers.title(label)))
            else:
                counts = np.bincount(speakers.labels[speakers.labels >= 0])
                sums = np.bincount(
                    speakers.labels[speakers.labels >= 0],
                    self.corpus.probabilities[speakers.labels >= 0],
                )
                value = -counts if order == "size" else sums / np.maximum(counts, 1)
                labels.sort(key=lambda label: (value[label], speakers.ids[label]))
            self._sorted = {k: v for k, v in self._sorted.items() if k[0] == self.revision}
            self._sorted[key] = labels
        return self._sorted[key]

    def utterance(self, number: int) -> dict:
        name, label = self.speakers.utterances[number], int(self.speakers.labels[number])
        seconds = float(self.corpus.seconds[number])
        return {
            "utterance": name,
            "speaker": self.speakers.ids[label] if label != NOBODY else None,
            "colour": label,
            "title": self.speakers.title(label) if label != NOBODY else "",
            "text": self.corpus.texts.get(name, ""),
            "probability": round(float(self.corpus.probabilities[number]), 3),
            "seconds": None if np.isnan(seconds) else round(seconds, 2),
        }

    def list_utterances(self, speaker: str, offset: int, limit: int, unsure: bool) -> dict:
        """A page of a speaker's utterances; `unsure`: the least probable ones first."""
        with self._lock:
            label = self.label(speaker)
            members = self.speakers.members(label)
            if unsure:
                order = np.argsort(self.corpus.probabilities[members], kind="stable")
                members = members[order]
            page = [self.utterance(i) for i in members[offset : offset + limit].tolist()]
            found = self.speaker(label)
            return {"revision": self.revision, "total": len(members), "items": page} | {
                "speaker": found
            }

    def fold(self) -> None:
        """Make what is searched in, unless it is there."""
        if self._folded is None:
            texts = self.corpus.texts
            self._folded = [
                f"{name} {texts.get(name, '')}".casefold() for name in self.corpus.utterances
            ]

    def search(self, query: str, offset: int, limit: int) -> dict:
        """Utterances whose names or texts hold some characters; `-` finds those of nobody."""
        if query == "-":
            found = np.flatnonzero(self.speakers.labels == NOBODY).tolist()
        else:
            self.fold()
            query = query.casefold()
            found = [i for i, text in enumerate(self._folded) if query in text]
        with self._lock:
            page = [self.utterance(i) for i in found[offset : offset + limit]]
            return {"revision": self.revision, "total": len(found), "items": page}

    def split(self, speaker: object, parts: object) -> list[list[int]]:
        """Cut a speaker into parts by clustering it again: numbers of utterances, largest first.

        Raises:
            CorrectionError: when it cannot be cut into so many.
        """
        with self._lock:
            members = self.speakers.members(self.label(speaker))
            most = min(PARTS, len(members))
            if not isinstance(parts, int) or isinstance(parts, bool) or not 2 <= parts <= most:
                raise CorrectionError(f"a speaker is cut into 2 to {most} parts")
            vectors = np.asarray(self.corpus.vectors[members], np.float64)
            chosen = np.arange(len(members))
            if len(members) > SAMPLE:
                chosen = np.sort(np.random.default_rng(1).choice(chosen, SAMPLE, replace=False))
            sample = vectors[chosen]
            found = cut_tree(linkage(sample, "ward"), parts)[:, 0]
            means = np.stack([sample[found == part].mean(axis=0) for part in range(parts)])
            if len(chosen) < len(members):
                away = (means**2).sum(axis=1) - 2 * vectors @ means.T
                found = away.argmin(axis=1)
            groups = [members[found == part].tolist() for part in range(parts)]
            return sorted(filter(None, groups), key=lambda group: (-len(group), group[0]))

    def preview(self, speaker: str, parts: int, limit: int) -> dict:
        """What a split would make: the sizes of the parts, and some utterances of each."""
        with self._lock:
            groups = self.split(speaker, parts)
            shown = [
                {"size": len(group), "items": [self.utterance(i) for i in group[:limit]]}
                for group in groups
            ]
            return {"revision": self.revision, "parts": shown}
