"""The speakers of a corpus after corrections, which are those of `unspeech.corrections.actions`."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.corrections.actions import NOBODY, NONE, CorrectionError, MalformedError, do


class Speakers:
    """Who said what, by a clustering and the corrections of it.

    Attributes:
        utterances: names, in the order of the clustering.
        labels: (utterances,) int32, speaker of each or NOBODY.
        ids: of the speakers; those without utterances stay in the list.
        names: {speaker: what people call it}.
        locked: speakers that may not be changed.
        same, different: pairs of utterances that one or two speakers have said.
        touched: (utterances,) bool, those whose speaker a listener has decided.

    Args:
        clusters: {utterance: speaker}.
    """

    def __init__(self, clusters: Mapping[str, str]) -> None:
        self.utterances = list(clusters)
        self.numbers = {utterance: i for i, utterance in enumerate(self.utterances)}
        ids, labels = np.unique(np.array(list(clusters.values()), object), return_inverse=True)
        self.ids: list[str] = ids.tolist()
        self.labels = labels.astype(np.int32)
        self.names: dict[int, str] = {}
        self.locked: set[int] = set()
        self.same: list[tuple[int, int]] = []
        self.different: list[tuple[int, int]] = []
        self.touched = np.zeros(len(labels), bool)
        self.left_out = 0  # utterances and actions that did not fit
        self.strict = True  # whether actions that do not fit are refused
        numbered = [i for i in self.ids if i[:1] == "c" and i[1:].isdecimal() and i.isascii()]
        self._next = max((int(i[1:]) for i in numbered), default=-1) + 1
        self._width = max([5, *(len(i) - 1 for i in numbered[:1])])
        order = np.argsort(self.labels, kind="stable")
        ends = np.cumsum(np.bincount(self.labels, minlength=len(ids)))
        self._members = dict(enumerate(np.split(order, ends[:-1])))
        self._done: list[tuple[dict, list[Callable[[], None]]]] = []
        self._undone: list[dict] = []
        self._reverse: list[Callable[[], None]] = []  # of the action that is being done

    def members(self, label: int) -> np.ndarray:
        """The utterances of a speaker, in their order."""
        return self._members.get(label, NONE)

    def present(self) -> list[int]:
        """The speakers that have utterances."""
        # A list first, as another thread may add one meanwhile.
        return [label for label, members in list(self._members.items()) if len(members)]

    def label_of(self, utterance: str) -> int:
        """The speaker of an utterance.

        Raises:
            CorrectionError: when there is no such utterance, or it is of no speaker.
        """
        if utterance not in self.numbers:
            raise CorrectionError(f"no utterance '{utterance!s:.80}'")
        label = int(self.labels[self.numbers[utterance]])
        if label == NOBODY:
            raise CorrectionError(f"utterance '{utterance}' is of no speaker")
        return label

    def can_undo(self) -> bool:
        return bool(self._done)

    def can_redo(self) -> bool:
        return bool(self._undone)

    def apply(self, action: Mapping) -> set[int]:
        """Do an action, all of it or nothing.

        Returns: the speakers that it has changed.
        Raises:
            CorrectionError: when it cannot be done.
        """
        kind = action.get("action")
        if kind == "undo":
            if not self._done:
                raise CorrectionError("nothing is left to undo")
            last, reverse = self._done.pop()
            changed = self._roll_back(reverse)
            self._undone.append(last)
            return changed
        if kind == "redo":
            if not self._undone:
                raise CorrectionError("nothing is left to do again")
            # The clustering may be another one since; as in `replay`, so that it stays the same.
            strict, self.strict = self.strict, False
            changed = self._do(self._undone.pop())
            self.strict = strict
            return changed
        changed = self._do(dict(action))
        self._undone.clear()
        return changed

    def replay(self, actions: Iterable[Mapping], source: object, first: int = 1) -> None:
        """Do what was done before, perhaps to another clustering: all that fits this one.

        Args:
            source: file of the actions, for error messages.
            first: number of the first.
        Raises:
            UnspeechError: naming the line that is no action.
        """
        self.strict = False
        for number, action in enumerate(actions, start=first):
            try:
                self.apply(action)
            except CorrectionError as error:
                raise UnspeechError(
                    f"{source}:{number}: {error}; put back the file from a copy, or remove this "
                    "line and all that follow"
                ) from None
        self.strict = True

    def _do(self, action: dict) -> set[int]:
        self._reverse, self._changed = [], set()
        try:
            do(self, action)
        except CorrectionError as error:
            self._roll_back(self._reverse)
            if self.strict or isinstance(error, MalformedError):
                raise
            self.left_out += 1
            self._reverse = []
        self._done.append((action, self._reverse))
        return self._changed

    def _roll_back(self, reverse: list[Callable[[], None]]) -> set[int]:
        self._changed = set()
        for step in reversed(reverse):
            step()
        return self._changed

    # What actions are made of; each leaves behind how it is undone.

    def find(self, utterances: object) -> np.ndarray:
        if not isinstance(utterances, list) or not all(isinstance(u, str) for u in utterances):
            raise CorrectionError("utterances are given as a list of names")
        known = [self.numbers[u] for u in utterances if u in self.numbers]
        if len(known) < len(utterances):
            if self.strict:
                missing = next(u for u in utterances if u not in self.numbers)
                raise CorrectionError(f"no utterance '{missing!s:.80}'")
            self.left_out += len(utterances) - len(known)
        if not known:
            raise CorrectionError("no utterances are given")
        return np.unique(known)

    def new_speaker(self) -> int:
        """Make a speaker without utterances."""
        self.ids.append(f"c{self._next:0{self._width}d}")
        self._next += 1
        self._reverse.append(self._drop_speaker)
        return len(self.ids) - 1

    def _drop_speaker(self) -> None:
        self.ids.pop()
        self._next -= 1

    def give(self, who: np.ndarray, label: int, decided: bool = True) -> None:
        """Make utterances, in order, a speaker's."""
        before, touched = self.labels[who].copy(), self.touched[who].copy()
        for old in {*before.tolist(), label} & self.locked:
            if (before != label).any():
                raise CorrectionError(f"speaker '{self.title(old)}' is locked; unlock it first")

        def change(new: np.ndarray | int, sure: np.ndarray | bool) -> None:
            now = self.labels[who]
            goal = np.broadcast_to(new, now.shape)
            self.labels[who], self.touched[who] = goal, sure
            for changed in np.unique(np.concatenate([now, goal])).tolist():
                if changed == NOBODY:
                    continue
                kept = self.members(changed)
                kept = kept[self.labels[kept] == changed]
                # Put in their places: to sort a speaker of a million anew takes a second.
                added = who[(goal == changed) & (now != changed)]
                self._members[changed] = np.insert(kept, np.searchsorted(kept, added), added)
                self._changed.add(changed)

        change(label, touched | decided)
        self._reverse.append(lambda: change(before, touched))

    def set_entry(self, table: dict, key: int, value: object) -> None:
        """Set an entry of a table of speakers, or remove it by None."""
        before = table.get(key)

        def change(new: object) -> None:
            table.pop(key, None)
            if new is not None:
                table[key] = new
            self._changed.add(key)

        change(value)
        self._reverse.append(lambda: change(before))

    def set_locked(self, label: int, locked: bool) -> None:
        was = label in self.locked

        def change(new: bool) -> None:
            (self.locked.add if new else self.locked.discard)(label)
            self._changed.add(label)

        change(locked)
        self._reverse.append(lambda: change(was))

    def note(self, pairs: list[tuple[int, int]], a: str, b: str) -> None:
        pairs.append((self.numbers[a], self.numbers[b]))
        self._changed.update((self.label_of(a), self.label_of(b)))
        self._reverse.append(pairs.pop)

    def join(self, first: int, others: Iterable[int]) -> None:
        for other in others:
            if other == first:
                continue
            name = self.names.get(other)
            self.give(self.members(other), first)
            if name and first not in self.names:
                self.set_entry(self.names, first, name)
            self.set_entry(self.names, other, None)

    def title(self, label: int) -> str:
        """What a speaker is called: by its name, else by its id."""
        return self.names.get(label, self.ids[label])
