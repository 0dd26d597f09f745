"""What a listener can do to the speakers of a corpus.

What an action needs beside its name; every speaker is named by one of its utterances, so that the
same actions can be applied to another clustering of the same utterances:
    merge      speakers [u, …]: the first keeps its name; members [u, …]: of all of them
    split      parts [[u, …], …]: each leaves for a speaker of its own
    move       utterances [u, …], to: an utterance of the speaker, or null for a new one
    no-speaker utterances [u, …]: noise, music, several people at once
    lock       speaker u, locked, members [u, …]: nobody joins or leaves it
    name       speaker u, name
    same       a, b: one speaker said both; part [u, …] of a's speaker joins b's: null: all of it,
               then perhaps with members [u, …]: of both
    different  a, b: two speakers did; part [u, …] leaves a's speaker for that of `to`, or null
    undo, redo
Members are those that are together afterwards. Another clustering may have them in other places,
since it takes the two that were named for neighbours; older logs do not have them.
"""

from collections.abc import Mapping

import numpy as np

from unspeech.cli.errors import UnspeechError

NOBODY = -1  # label of an utterance that is of no speaker
NONE = np.empty(0, np.int64)
LONGEST = 200  # characters of a name


class CorrectionError(UnspeechError):
    """An action that cannot be done; says why."""


class MalformedError(CorrectionError):
    """What is no action."""


def do(state, action: Mapping) -> None:
    """Do an action.

    Raises:
        CorrectionError: when it cannot be done; a part of it may have been.
    """
    does = _ACTIONS.get(action.get("action"))
    if does is None:
        raise MalformedError(f"no action '{action.get('action')!s:.40}'")
    try:
        does(state, action)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MalformedError(f"action '{action['action']}' is not complete") from None


def _merge(state, action: Mapping) -> None:
    labels = list(dict.fromkeys(state.label_of(u) for u in action["speakers"]))
    if len(labels) < 2 and state.strict:
        raise CorrectionError("two speakers or more are needed")
    first, *others = action["speakers"]
    state.join(labels[0], labels[1:])
    _give_members(state, action, labels[0])
    for other in others:
        state.note(state.same, first, other)


def _give_members(state, action: Mapping, label: int) -> None:
    if action.get("members"):
        state.give(state.find(action["members"]), label)


def _split(state, action: Mapping) -> None:
    parts = [state.find(part) for part in action["parts"]]
    if not parts or len(np.unique(np.concatenate(parts))) < sum(map(len, parts)):
        raise CorrectionError("parts without common utterances are needed")
    names = [state.utterances[part[0]] for part in parts]
    for part in parts:
        before = state.labels[part[0]]
        state.give(part, state.new_speaker())
        names += [state.utterances[rest] for rest in state.members(before)[:1]]
    names = list(dict.fromkeys(names))
    for i, name in enumerate(names):
        for other in names[:i]:
            state.note(state.different, name, other)


def _move(state, action: Mapping) -> None:
    who, to = state.find(action["utterances"]), action["to"]
    state.give(who, state.new_speaker() if to is None else state.label_of(to))
    if to is not None:
        state.note(state.same, state.utterances[who[0]], to)


def _no_speaker(state, action: Mapping) -> None:
    state.give(state.find(action["utterances"]), NOBODY)


def _lock(state, action: Mapping) -> None:
    label, locked = state.label_of(action["speaker"]), action["locked"]
    if not isinstance(locked, bool):
        raise CorrectionError("locked is true or false")
    if locked:
        who = state.find(action["members"])
        stray = np.setdiff1d(state.members(label), who)
        if stray.size and state.strict:
            raise CorrectionError("the speaker has members besides those that are given")
        if stray.size:  # they have come by another clustering
            state.give(stray, state.new_speaker(), decided=False)
        state.give(who, label)
    state.set_locked(label, locked)


def _name(state, action: Mapping) -> None:
    name = " ".join(action["name"].split())
    if len(name) > LONGEST or not name.isprintable():
        raise CorrectionError(f"a name has up to {LONGEST} characters that can be printed")
    label = state.label_of(action["speaker"])
    state.set_entry(state.names, label, name or None)
    state.give(state.find([action["speaker"]]), label)  # an outlier with a name is nobody else's


def _same(state, action: Mapping) -> None:
    a, b, part = action["a"], action["b"], action["part"]
    first, second = state.label_of(a), state.label_of(b)
    if part is None:
        state.join(second, [first])
        _give_members(state, action, second)
    else:
        state.give(np.union1d(state.find(part), state.numbers[a]), second)
    state.note(state.same, a, b)


def _different(state, action: Mapping) -> None:
    a, b, part, to = action["a"], action["b"], action["part"], action["to"]
    first, second = state.label_of(a), state.label_of(b)
    who = np.union1d(state.find(part) if part else NONE, state.numbers[a])
    who = who[who != state.numbers[b]].astype(np.int64)
    if first != second:
        # In another clustering a may be away from b already, and the rest of its part not yet.
        stray = who[state.labels[who] == second]
        if stray.size:
            state.give(stray, first)
        # They may be outliers, who are not to join the nearest cluster then.
        state.give(who[state.labels[who] == first], first)
        state.give(state.find([b]), second)
    else:
        goal = None if to is None else state.label_of(to)
        if goal is None or goal == state.label_of(b):
            goal = state.new_speaker()
        state.give(who, goal)
    state.note(state.different, a, b)


_ACTIONS = {
    "merge": _merge,
    "split": _split,
    "move": _move,
    "no-speaker": _no_speaker,
    "lock": _lock,
    "name": _name,
    "same": _same,
    "different": _different,
}
