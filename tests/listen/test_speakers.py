"""What corrections do to speakers, and that all of it can be undone."""

import numpy as np
import pytest

from unspeech.cli.errors import UnspeechError
from unspeech.corrections.actions import NOBODY, CorrectionError
from unspeech.corrections.speakers import Speakers

CLUSTERS = {"a1": "c00000", "a2": "c00000", "a3": "c00000", "b1": "c00001", "b2": "c00001"}


def speakers(*actions: dict) -> Speakers:
    state = Speakers(CLUSTERS)
    for action in actions:
        state.apply(action)
    return state


def groups(state: Speakers) -> set[frozenset[str]]:
    found = {
        frozenset(state.utterances[i] for i in state.members(label)) for label in state.present()
    }
    by_label = {
        frozenset(u for u, own in zip(state.utterances, state.labels, strict=True) if own == label)
        for label in set(state.labels.tolist()) - {NOBODY}
    }
    assert found == by_label
    return found


def sets(*words: str) -> set[frozenset[str]]:
    return {frozenset(word.split()) for word in words}


def test_what_is_done_again_is_what_a_replay_does():
    """A merge that the clustering has taken in since was refused, and the next action done."""
    actions = [
        {"action": "merge", "speakers": ["a1", "b1"]},
        {"action": "move", "utterances": ["a2"], "to": None},
        *[{"action": "undo"}] * 2,
    ]
    clusters = dict.fromkeys(CLUSTERS, "c00000")
    state = Speakers(clusters)
    state.replay(actions, "log")
    again = Speakers(clusters)
    for _ in range(2):
        state.apply({"action": "redo"})
        actions.append({"action": "redo"})
    again.replay(actions, "log")
    assert groups(state) == groups(again) == sets("a2", "a1 a3 b1 b2")


MERGE = {"action": "merge", "speakers": ["b1", "a1"]}
DOES = {
    "merge": (MERGE, sets("a1 a2 a3 b1 b2")),
    "split": ({"action": "split", "parts": [["a1"]]}, sets("a1", "a2 a3", "b1 b2")),
    "split in all": (
        {"action": "split", "parts": [["a1"], ["a2"], ["a3"]]},
        sets("a1", "a2", "a3", "b1 b2"),
    ),
    "move": (
        {"action": "move", "utterances": ["a1", "a2"], "to": "b2"},
        sets("a3", "a1 a2 b1 b2"),
    ),
    "move away": (
        {"action": "move", "utterances": ["a1", "b1"], "to": None},
        sets("a1 b1", "a2 a3", "b2"),
    ),
    "no-speaker": ({"action": "no-speaker", "utterances": ["a2", "b2"]}, sets("a1 a3", "b1")),
    "lock": (
        {"action": "lock", "speaker": "a1", "locked": True, "members": ["a1", "a2", "a3"]},
        sets("a1 a2 a3", "b1 b2"),
    ),
    "name": ({"action": "name", "speaker": "a1", "name": "Ada"}, sets("a1 a2 a3", "b1 b2")),
    "same": ({"action": "same", "a": "a1", "b": "b1", "part": None}, sets("a1 a2 a3 b1 b2")),
    "same, a part": (
        {"action": "same", "a": "a1", "b": "b1", "part": ["a1", "a2"]},
        sets("a3", "a1 a2 b1 b2"),
    ),
    "different": (
        {"action": "different", "a": "a1", "b": "a2", "part": ["a1", "a3"], "to": None},
        sets("a1 a3", "a2", "b1 b2"),
    ),
    "different, of another": (
        {"action": "different", "a": "a1", "b": "a2", "part": ["a1"], "to": "b1"},
        sets("a2 a3", "a1 b1 b2"),
    ),
    "different already": (
        {"action": "different", "a": "a1", "b": "b1", "part": ["a1"], "to": None},
        sets("a1 a2 a3", "b1 b2"),
    ),
}


@pytest.mark.parametrize("what", DOES)
def test_actions(what):
    action, expected = DOES[what]
    state = speakers(action)
    assert groups(state) == expected
    state.apply({"action": "undo"})
    assert groups(state) == sets("a1 a2 a3", "b1 b2")
    assert (state.names, state.locked, state.same, state.different) == ({}, set(), [], [])
    assert not state.touched.any()
    assert len(state.ids) == 2
    state.apply({"action": "redo"})
    assert groups(state) == expected


def test_names_go_with_speakers():
    state = speakers({"action": "name", "speaker": "a1", "name": " Ada  Lovelace "}, MERGE)
    assert state.title(state.label_of("b2")) == "Ada Lovelace"
    state.apply({"action": "undo"})
    assert state.title(state.label_of("b2")) == "c00001"
    assert state.title(state.label_of("a2")) == "Ada Lovelace"


def test_new_speakers_have_new_ids():
    state = speakers({"action": "split", "parts": [["a1"]]}, {"action": "undo"})
    state.apply({"action": "move", "utterances": ["b1"], "to": None})
    assert state.ids[state.label_of("b1")] == "c00002"


def test_a_new_action_ends_what_can_be_done_again():
    state = speakers(MERGE, {"action": "undo"})
    assert state.can_redo()
    state.apply({"action": "name", "speaker": "a1", "name": "Ada"})
    assert not state.can_redo()
    with pytest.raises(CorrectionError, match="nothing is left to do again"):
        state.apply({"action": "redo"})


LOCK = DOES["lock"][0]
REFUSED = {
    "an unknown action": ({"action": "sing"}, "no action 'sing'"),
    "no action": ({}, "no action"),
    "nothing to undo": ({"action": "undo"}, "nothing is left to undo"),
    "an unknown utterance": ({"action": "merge", "speakers": ["a1", "z"]}, "no utterance 'z'"),
    "one speaker": ({"action": "merge", "speakers": ["a1", "a2"]}, "two speakers or more"),
    "parts with a common utterance": (
        {"action": "split", "parts": [["a1"], ["a1"]]},
        "without common utterances",
    ),
    "no utterances": ({"action": "no-speaker", "utterances": []}, "no utterances"),
    "a word for a list": ({"action": "no-speaker", "utterances": "a1"}, "a list of names"),
    "numbers for names": ({"action": "merge", "speakers": [1, 2]}, "no utterance '1'"),
    "a list for a name": ({"action": "name", "speaker": "a1", "name": ["x"]}, "not complete"),
    "a missing value": ({"action": "move", "utterances": ["a1"]}, "not complete"),
    "a long name": ({"action": "name", "speaker": "a1", "name": "x" * 201}, "up to 200"),
    "a name that rings": ({"action": "name", "speaker": "a1", "name": "x\a"}, "can be printed"),
    "half a character": ({"action": "name", "speaker": "a1", "name": "\ud800"}, "can be printed"),
    "locked as a word": ({**LOCK, "locked": "yes"}, "true or false"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    action, says = REFUSED[what]
    state = speakers()
    with pytest.raises(CorrectionError, match=says):
        state.apply(action)
    assert groups(state) == sets("a1 a2 a3", "b1 b2")
    assert not state.can_undo()


@pytest.mark.parametrize("what", ["merge", "split", "move", "no-speaker", "same", "different"])
def test_locked_speakers_stay(what):
    state = speakers(LOCK)
    with pytest.raises(CorrectionError, match="'c00000' is locked"):
        state.apply(DOES[what][0])
    assert groups(state) == sets("a1 a2 a3", "b1 b2")
    state.apply({"action": "lock", "speaker": "a1", "locked": False, "members": []})
    state.apply(DOES[what][0])


def state_members(state: Speakers, utterance: str) -> list[str]:
    label = state.labels[state.numbers[utterance]]
    return [state.utterances[i] for i in state.members(int(label))]


def random_action(state: Speakers, rng: np.random.Generator) -> dict:
    some = rng.choice(state.utterances, 3, replace=False).tolist()
    a, b, c = some
    return [
        {"action": "merge", "speakers": [a, b]},
        {"action": "split", "parts": [[a], [b, c]]},
        {"action": "move", "utterances": [a, b], "to": c},
        {"action": "move", "utterances": some, "to": None},
        {"action": "no-speaker", "utterances": [a]},
        {
            "action": "lock",
            "speaker": a,
            "locked": bool(rng.integers(2)),
            "members": state_members(state, a),
        },
        {"action": "name", "speaker": a, "name": f"n{rng.integers(99)}"},
        {"action": "same", "a": a, "b": b, "part": None},
        {"action": "different", "a": a, "b": b, "part": [a, c], "to": None},
        {"action": "undo"},
        {"action": "redo"},
    ][rng.integers(11)]


def test_any_course_is_undone_to_its_begin_and_done_again_to_its_end():
    rng = np.random.default_rng(0)
    clusters = {f"u{i:02d}": f"c0000{i % 5}" for i in range(30)}
    state, log = Speakers(clusters), []
    for _ in range(400):
        action = random_action(state, rng)
        try:
            state.apply(action)
        except CorrectionError:
            continue
        log.append(action)
    groups(state)
    again = Speakers(clusters)
    again.replay(log, "log")
    assert again.labels.tolist() == state.labels.tolist()
    assert (again.names, again.locked, again.ids) == (state.names, state.locked, state.ids)
    count = 0
    while state.can_undo():
        state.apply({"action": "undo"})
        count += 1
    assert count > 50
    assert state.labels.tolist() == Speakers(clusters).labels.tolist()
    assert (state.names, state.locked) == ({}, set())
    for _ in range(count):
        state.apply({"action": "redo"})
    assert groups(state) == groups(again)


def test_replay_on_other_clusters_does_what_fits():
    state = Speakers({"a1": "x", "a2": "y", "b1": "y"})
    state.replay([MERGE, DOES["same, a part"][0], DOES["name"][0]], "log")
    assert groups(state) == sets("a1 a2 b1")
    assert state.left_out == 0
    state = Speakers({"a1": "x", "b2": "y"})
    state.replay([MERGE, {"action": "no-speaker", "utterances": ["a1", "b1"]}], "log")
    assert groups(state) == sets("b2")
    assert state.left_out == 2


def test_replay_names_what_is_no_action():
    with pytest.raises(UnspeechError, match="log:2: no action 'sing'"):
        Speakers(CLUSTERS).replay([MERGE, {"action": "sing"}], "log")
