"""Questions: they find what is wrong, in the order of what it is worth, and learn from answers."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from unspeech.clustering.scores import clustering_scores
from unspeech.corrections.speakers import Speakers
from unspeech.listen.likeness import Likeness
from unspeech.listen.parts import group_members
from unspeech.listen.questions import Questions

SPEAKERS, UTTERANCES = 20, 12


def corpus(seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Vectors, true speakers, and clusters: two hold two speakers, two speakers are cut; strays."""
    rng = np.random.default_rng(seed)
    gold = np.repeat(np.arange(SPEAKERS), UTTERANCES)
    vectors = rng.normal(size=(SPEAKERS, 30))[gold] + 0.35 * rng.normal(size=(len(gold), 30))
    clusters = gold.copy()
    clusters[gold == 1], clusters[gold == 3] = 0, 2
    for split in (4, 5):
        clusters[np.flatnonzero(gold == split)[:5]] = SPEAKERS + split
    strays = rng.choice(np.flatnonzero(gold > 6), 8, replace=False)
    clusters[strays] = rng.integers(7, SPEAKERS, len(strays))
    names = {f"u{i:04d}": f"c{cluster:05d}" for i, cluster in enumerate(clusters.tolist())}
    return vectors, gold, names


def questions_of(vectors: np.ndarray, names: dict[str, str]) -> Questions:
    near = cdist(vectors, vectors).argsort(axis=1)[:, 1:9]
    return Questions(Speakers(names), vectors, near)


def answer(questions: Questions, question, same: bool) -> None:
    changed = questions.speakers.apply(question.action(questions.speakers, same))
    questions.changed(changed)
    questions.learn(question, same)


def ari(questions: Questions, gold: np.ndarray) -> float:
    return clustering_scores(gold, questions.speakers.labels)["ari"]


def listen(how: str, answers: int) -> list[float]:
    vectors, gold, names = corpus()
    questions, rng = questions_of(vectors, names), np.random.default_rng(0)
    scores = [ari(questions, gold)]
    for _ in range(answers):
        asked = questions.best() if how == "best" else [questions.any(rng)]
        if not asked:
            break
        answer(questions, asked[0], bool(gold[asked[0].a] == gold[asked[0].b]))
        scores.append(ari(questions, gold))
    return scores


def test_a_few_answers_put_all_right():
    scores = listen("best", 30)
    assert scores[0] < 0.85
    assert max(scores) > 0.995
    assert max(listen("random", 30)) < scores[10]


def test_of_many_speakers_those_nearby_are_compared(monkeypatch):
    monkeypatch.setattr("unspeech.listen.parts.MANY", 8)
    monkeypatch.setattr("unspeech.listen.parts.SOME", 6)
    assert max(listen("best", 30)) > 0.995


def test_the_same_answers_lead_to_the_same_questions():
    assert listen("best", 15) == listen("best", 15)


def test_answers_hold():
    vectors, gold, names = corpus()
    questions = questions_of(vectors, names)
    said = []
    for _ in range(40):
        for question in questions.best():
            same = bool(gold[question.a] == gold[question.b])
            assert question.key() not in {key for key, _ in said}
            answer(questions, question, same)
            said.append((question.key(), same))
    labels = questions.speakers.labels
    for (a, b), same in said:
        assert (labels[a] == labels[b]) == same


def test_several_questions_are_about_different_speakers():
    vectors, _, names = corpus()
    questions = questions_of(vectors, names)
    asked = questions.best(5)
    assert len(asked) == 5
    worth = [question.worth for question in asked]
    assert worth == sorted(worth, reverse=True)
    speakers = [{int(questions.speakers.labels[i]) for i in (q.a, q.b)} for q in asked]
    assert len(set.union(*speakers)) >= 5
    again = questions.best(1, without=[asked[0].key()])  # perhaps another of the same speakers
    assert again[0].key() != asked[0].key()
    assert asked[1].worth <= again[0].worth <= asked[0].worth


def test_locked_speakers_are_not_asked_about():
    vectors, _, names = corpus()
    questions = questions_of(vectors, names)
    first = questions.best()[0]
    speakers = questions.speakers
    label = int(speakers.labels[first.a])
    members = [speakers.utterances[i] for i in speakers.members(label)]
    lock = {"action": "lock", "speaker": members[0], "locked": True, "members": members}
    questions.changed(speakers.apply(lock))
    for question in questions.best(50):
        assert label not in {int(speakers.labels[i]) for i in (question.a, question.b)}


def test_nothing_is_asked_once_every_speaker_is_locked():
    vectors, _, names = corpus()
    questions = questions_of(vectors, names)
    speakers = questions.speakers
    for label in speakers.present():
        members = [speakers.utterances[i] for i in speakers.members(label)]
        lock = {"action": "lock", "speaker": members[0], "locked": True, "members": members}
        questions.changed(speakers.apply(lock))
    assert questions.best(5) == []


@pytest.mark.parametrize("clusters", [1, 2, 240])
def test_corpora_of_few_speakers_and_of_single_utterances(clusters):
    vectors, gold, names = corpus()
    names = {name: f"c{i % clusters:05d}" for i, name in enumerate(names)}
    questions = questions_of(vectors, names)
    before = ari(questions, gold)
    for _ in range(30):
        for question in questions.best():
            answer(questions, question, bool(gold[question.a] == gold[question.b]))
    assert ari(questions, gold) > before


def test_answers_that_contradict_what_was_expected_are_learnt():
    vectors, _, names = corpus()
    questions = questions_of(vectors, names)
    first = questions.best()[0]
    before = questions.weights.copy()
    questions.learn(first, first.same < 0.5)
    assert np.abs(questions.weights - before).max() > 0.01


def test_large_speakers_are_grouped_by_a_sample(monkeypatch):
    monkeypatch.setattr("unspeech.listen.parts.LARGEST", 50)
    rng = np.random.default_rng(0)
    halves = np.repeat([0, 1], 100)
    vectors = np.eye(8)[halves] * 3 + 0.2 * rng.normal(size=(200, 8))
    chosen, follows = group_members(vectors, np.arange(200))
    assert chosen.shape == (99, 50)
    inside = chosen[:, follows]
    assert inside[-1].all()
    assert any((group == halves).all() or (group == 1 - halves).all() for group in inside)


def test_likeness_tells_speakers_apart():
    rng = np.random.default_rng(0)
    gold = np.repeat(np.arange(30), 10)
    vectors = rng.normal(size=(30, 20))[gold] + 0.4 * rng.normal(size=(300, 20))
    model = Likeness(vectors, gold)
    points = model.project(vectors)
    first, second = points[::10], points[5::10]
    one = np.array(1)
    same = model.ratio(first, one, second, one)
    other = model.ratio(first, one, np.roll(second, 1, axis=0), one)
    assert same.min() > 0 > np.quantile(other, 0.9)
    both = model.ratio(second, one, first, one)
    np.testing.assert_allclose(same, both, rtol=1e-6)  # it does not matter which is first
