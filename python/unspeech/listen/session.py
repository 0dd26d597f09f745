"""Questions to a listener, and corrections that are written at once.

In: commands in terms of speakers' ids, with the revision that the page has seen.
Out: actions in `corrections.jsonl`, and the speakers after them.
"""

import time
from collections.abc import Sequence

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.corrections.actions import NOBODY, CorrectionError
from unspeech.corrections.corrected import corrected_speakers
from unspeech.corrections.log import Log, OutdatedError
from unspeech.listen.corpus import Corpus
from unspeech.listen.lists import Lists
from unspeech.listen.questions import AT_ONCE, Question, Questions

LATER = 40  # speakers that are looked at for a question when so many are known as for the first
TOGETHER = 5  # speakers that are looked at for questions while nothing else is answered
PAUSE = 0.002  # seconds, in which other requests get their turn in between
MOST = 20_000  # utterances that the page may name in one command


class Session(Lists):
    """A corpus that is listened to, in one or several windows.

    Every method may be called by any thread.
    """

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(corpus)
        self._made = self._when_made()
        self._questions: Questions | None = None
        self._asked: dict[tuple[int, int], Question] = {}
        self._read()

    def _when_made(self) -> int:
        return (self.corpus.clusters / "clusters.json").stat().st_mtime_ns

    def _read(self) -> None:
        """Make the speakers what the log says."""
        clusters = self.corpus.clusters
        self._log = Log(clusters)
        actions = self._log.read_new()
        self.speakers = corrected_speakers(clusters, self.corpus.found, actions)
        self.revision = self._log.revision
        self._questions = None
        self._asked.clear()
        self.changed()

    def state(self) -> dict:
        """Counts, and whether anything can be undone; takes in what others have written."""
        with self._lock:
            self._catch_up()
            speakers = self.speakers
            return {
                "revision": self.revision,
                "data": str(self.corpus.data),
                "utterances": len(speakers.utterances),
                "speakers": len(speakers.present()),
                "nobody": int((speakers.labels == NOBODY).sum()),
                "undo": speakers.can_undo(),
                "redo": speakers.can_redo(),
            }

    def _catch_up(self) -> None:
        if self._when_made() != self._made:
            raise UnspeechError(
                f"{self.corpus.clusters}: was clustered again; end listen.sh and start it again"
            )
        new = self._log.read_new()
        changed = [self.speakers.apply(action) for action in new]
        self._after(set().union(*changed))

    def _after(self, labels: set[int]) -> None:
        """Take notice of what corrections have changed."""
        if self.revision != self._log.revision:
            self.revision = self._log.revision
            if self._questions:
                self._questions.changed(labels)
            self._asked.clear()
            self.changed()

    def _ask(self) -> Questions:
        if self._questions is None:
            corpus = self.corpus
            self._questions = Questions(self.speakers, corpus.vectors, corpus.neighbours)
        return self._questions

    def prepare(self) -> None:
        """Make what the first requests need, before they come."""
        revision, corpus = self.revision, self.corpus
        try:
            made = Questions(self.speakers, corpus.vectors, corpus.neighbours)
        except Exception:
            if revision == self.revision:
                raise
            made = None  # a correction came in between; they are made when they are asked for
        with self._lock:
            if made and self._questions is None and revision == self.revision:
                self._questions = made
        self.fold()
        self.questions(1)

    def typical(self, speaker: str) -> dict:
        """The utterance of a speaker that is nearest to its mean."""
        with self._lock:
            members = self.speakers.members(self.label(speaker))
            return self.utterance(self._ask().typical(members))

    def questions(self, count: int, without: Sequence[str] = (), sample: int | None = None) -> dict:
        """The questions that are worth most.

        Args:
            without: keys of questions that are not to be asked again.
            sample: a seed: questions drawn by chance instead.
        """
        with self._lock:
            most = AT_ONCE if self._ask().known() < AT_ONCE else LATER
        for _ in range(most // TOGETHER):
            with self._lock:
                self._catch_up()
                if not self._ask().look(TOGETHER):
                    break
            while self._lock.waiting:
                time.sleep(PAUSE)
        with self._lock:
            self._catch_up()
            questions = self._ask()
            if sample is None:
                skipped = [tuple(map(int, key.split("-"))) for key in without]
                found = questions.best(count, skipped, look=0)
            else:
                drawn = [questions.any(np.random.default_rng([sample, i])) for i in range(count)]
                found = [question for question in drawn if question]
            self._asked |= {question.key(): question for question in found}
            return {"revision": self.revision, "items": [self._question(q) for q in found]}

    def _question(self, question: Question) -> dict:
        speakers = self.speakers
        label = int(speakers.labels[question.a])
        return {
            "key": "-".join(map(str, question.key())),
            "a": self.utterance(question.a),
            "b": self.utterance(question.b),
            "within": question.within,
            "part": len(question.part),
            "joins": question.joins,
            "sizes": [
                len(speakers.members(label)),
                len(speakers.members(int(speakers.labels[question.b]))),
            ],
            "to": speakers.title(question.to) if question.to >= 0 else None,
            "same": round(question.same, 3),
            "worth": round(question.worth, 1),
        }

    def command(self, command: dict) -> dict:
        """Correct something; it is on the disk when this returns.

        Args:
            command: `revision`, `action`, and what that needs.
        Returns: the state afterwards.
        Raises:
            OutdatedError: when somebody has corrected something since that revision.
            CorrectionError: when it cannot be done.
        """
        with self._lock:
            self._catch_up()
            if command.get("revision") != self.revision:
                raise OutdatedError
            question = None
            if command.get("action") == "answer":
                question = self._question_of(command)
                action = self._answer(question, command.get("answer"))
            else:
                action = self._action(command)
            # First in memory, which refuses what cannot be done.
            changed = self.speakers.apply(action)
            action = self._with_members(action, changed)
            try:
                self._log.append(action, self.revision)
            except BaseException:
                self._read()
                raise
            self._after(changed)
            if question and command["answer"] in ("same", "different"):
                self._ask().learn(question, command["answer"] == "same")
            return self.state()

    def _with_members(self, action: dict, changed: set[int]) -> dict:
        """An action that was done, with all whom it has joined; see `corrections.actions`."""
        if action["action"] == "merge":
            anchor = action["speakers"][0]
        elif action["action"] == "same" and action["part"] is None and len(changed) > 1:
            anchor = action["b"]
        else:
            return action
        members = self.speakers.members(self.speakers.label_of(anchor))
        return action | {"members": [self.speakers.utterances[i] for i in members]}

    def _question_of(self, command: dict) -> Question:
        try:
            question = self._asked[tuple(map(int, command["key"].split("-")))]
        except (KeyError, ValueError, AttributeError):
            raise CorrectionError("this question is not open; ask for questions again") from None
        return question

    def _answer(self, question: Question, answer: object) -> dict:
        if answer in ("same", "different"):
            return question.action(self.speakers, answer == "same")
        if answer in ("no-speaker-a", "no-speaker-b"):
            number = question.a if answer == "no-speaker-a" else question.b
            return {"action": "no-speaker", "utterances": [self.speakers.utterances[number]]}
        raise CorrectionError("an answer is same, different, no-speaker-a or no-speaker-b")

    def _anchor(self, speaker: object) -> str:
        """An utterance that stands for a speaker."""
        return self.speakers.utterances[self.speakers.members(self.label(speaker))[0]]

    def _action(self, command: dict) -> dict:
        kind = command.get("action")
        if kind in ("undo", "redo"):
            return {"action": kind}
        if kind == "merge" and isinstance(command.get("speakers"), list):
            return {"action": kind, "speakers": [self._anchor(s) for s in command["speakers"]]}
        if kind == "split":
            parts = self.split(command.get("speaker"), command.get("parts"))
            names = self.speakers.utterances
            return {"action": kind, "parts": [[names[i] for i in part] for part in parts[1:]]}
        if kind in ("move", "no-speaker"):
            utterances = command.get("utterances")
            if not isinstance(utterances, list) or len(utterances) > MOST:
                raise CorrectionError(f"utterances are a list of at most {MOST}")
            action = {"action": kind, "utterances": utterances}
            if kind == "move":
                to = command.get("to")
                action["to"] = None if to is None else self._anchor(to)
            return action
        if kind == "lock":
            members = self.speakers.members(self.label(command.get("speaker")))
            names = [self.speakers.utterances[i] for i in members]
            return {
                "action": kind,
                "speaker": names[0],
                "locked": command.get("locked"),
                "members": names if command.get("locked") else [],
            }
        if kind == "name":
            anchor = self._anchor(command.get("speaker"))
            return {"action": kind, "speaker": anchor, "name": command.get("name")}
        if kind in ("same", "different"):
            action = {name: command.get(name) for name in ("action", "a", "b", "part")}
            to = command.get("to")
            goes = {"to": None if to is None else self._anchor(to)}
            return action | (goes if kind == "different" else {})
        raise CorrectionError(f"no action '{kind!s:.40}'")
