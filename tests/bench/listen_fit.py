"""The weights with which the page's questions begin, fitted to corpora whose speakers are known.

    PYTHONPATH=python python3 tests/bench/listen_fit.py --seed 1 --answers 100 \\
        --corpora emodb=data/emodb,exp/emb/emodb,exp/clusters/emodb so762train=…

Not to be given: corpora that figures are reported of as unseen (SpeechOcean762's test part), and
labels that are none (those of `voices` name packs).

What is fitted is how probable it is that a group of a speaker's utterances stays, moves to the
speaker that is most like it, or is somebody else's, and that the two speakers are one. The truth is
what a listener would say of the utterances that the page would play. Speakers are not only taken as
the clustering has found them, but also as they are later, when a listener has put some of them
right: a share of them, drawn by the seed, is replaced by the true ones (STATES). Each corpus counts
the same, and so does each of its states. Prints the weights for `WEIGHTS` of
unspeech/listen/questions.py; with --answers, also the ARI of a listener's course with them, without
the page.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

import unspeech.listen.questions as page
from unspeech.clustering.scores import clustering_scores
from unspeech.corrections.speakers import Speakers
from unspeech.kaldi.tables import read_table
from unspeech.listen.chances import chances_of
from unspeech.listen.corpus import Corpus
from unspeech.listen.parts import ALONE, FEATURES, JOINS, MOVES, STAYS, find_parts
from unspeech.listen.questions import Questions

STATES = (0, 1 / 3, 2 / 3)  # shares of the speakers that have been put right
RIDGE = 0.01  # of the weights' squares, against a mean loss of a group
SHOWN = (0, 10, 25, 50, 75, 100)


@dataclass
class Groups:
    """Groups of utterances whose truth is known.

    Attributes:
        features: (groups, 4, len(FEATURES)); offsets: (groups, 4).
        truth: (groups,) STAYS, MOVES or ALONE; joins: (groups,) bool.
    """

    features: np.ndarray
    offsets: np.ndarray
    truth: np.ndarray
    joins: np.ndarray


def put_right(found: dict[str, str], gold: dict[str, str], share: float, rng) -> dict[str, str]:
    """Clusters of which a share is as it should be, with all that their true speakers have said."""
    clusters = sorted(set(found.values()))
    chosen = {c for c in clusters if rng.random() < share}
    right = {gold[u] for u, cluster in found.items() if cluster in chosen}
    return {u: f"g{gold[u]}" if gold[u] in right else cluster for u, cluster in found.items()}


def groups_of(corpus: Corpus, clusters: dict[str, str], gold: dict[str, str]) -> Groups:
    """All groups of the speakers, with what a listener would say of them."""
    who = np.unique([gold[u] for u in clusters], return_inverse=True)[1]
    questions = Questions(Speakers(clusters), corpus.vectors, corpus.neighbours)
    questions.look(0)  # what all speakers are like, without their groups
    rows = []
    for label in questions.speakers.present():
        members = questions.speakers.members(label)
        parts = find_parts(questions._voices, label)
        whole = who[questions.typical(members)]
        others: dict[int, int] = {}
        for group, other in enumerate(parts.others.tolist()):
            inside = parts.members_in(group)
            rest = members[~inside]
            own = who[questions.typical(members[inside])]
            if other not in others and other >= 0:
                others[other] = who[questions.typical(questions.speakers.members(other))]
            there = others.get(other, -1)
            if len(rest) and own == who[questions.typical(rest)]:
                truth = STAYS
            else:
                truth = MOVES if len(rest) and own == there else ALONE
            rows.append((parts.features[group], parts.offsets[group], truth, whole == there))
    return Groups(*map(np.array, zip(*rows, strict=True)))


def fit(states: list[Groups]) -> np.ndarray:
    """The weights by which the truth is most probable."""

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = RIDGE * weights @ weights, 2 * RIDGE * weights
        for some in states:
            chances = chances_of(some.features, some.offsets, weights)
            count = len(some.truth)
            rows, share = np.arange(count), np.full(count, 1 / count / len(states))
            three, joins = chances[:, :JOINS], np.clip(chances[:, JOINS], 1e-9, 1 - 1e-9)
            loss -= share @ np.log(np.maximum(three[rows, some.truth], 1e-9))
            mean = np.einsum("nh,nhf->nf", three, some.features[:, :JOINS])
            slope += share @ (mean - some.features[rows, some.truth])
            may = np.isfinite(some.offsets[:, JOINS])
            share = share * may
            loss -= share @ np.where(some.joins, np.log(joins), np.log1p(-joins))
            slope += (share * (joins - some.joins)) @ some.features[:, JOINS]
        return loss, slope

    return minimize(cost, np.zeros(len(FEATURES)), jac=True, method="L-BFGS-B").x


def course(corpus: Corpus, gold: dict[str, str], answers: int) -> list[float]:
    """The ARI before and after each of a listener's answers, who is always right."""
    who = np.unique([gold[u] for u in corpus.utterances], return_inverse=True)[1]
    questions = Questions(Speakers(corpus.found), corpus.vectors, corpus.neighbours)
    scores = [clustering_scores(who, questions.speakers.labels)["ari"]]
    for _ in range(answers):
        asked = questions.best()
        if not asked:
            break
        same = bool(who[asked[0].a] == who[asked[0].b])
        changed = questions.speakers.apply(asked[0].action(questions.speakers, same))
        questions.changed(changed)
        questions.learn(asked[0], same)
        scores.append(clustering_scores(who, questions.speakers.labels)["ari"])
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--corpora", nargs="+", required=True, help="NAME=DATA,EMBEDDINGS,CLUSTERS of each"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the speakers that are put right")
    parser.add_argument("--answers", type=int, default=0, help="of a course with the weights")
    parser.add_argument("--weights", help="some others for the course, separated by commas")
    options = parser.parse_args()
    known, states = {}, []
    for text in options.corpora:
        name, _, places = text.partition("=")
        data, embeddings, clusters = (Path(place) for place in places.split(","))
        corpus, gold = Corpus(data, embeddings, clusters), read_table(data / "utt2spk")
        known[name] = corpus, gold
        rng = np.random.default_rng(options.seed)
        for share in () if options.weights else STATES:
            states.append(groups_of(corpus, put_right(corpus.found, gold, share, rng), gold))
            counts = np.bincount(states[-1].truth, minlength=3).tolist()
            print(
                f"{name}, {share:.2f} put right: groups that stay, move, are somebody else's: "
                f"{counts}; of speakers that are one: {states[-1].joins.sum()}",
                flush=True,
            )
    if options.weights:
        weights = np.array([float(word) for word in options.weights.split(",")])
    else:
        weights = fit(states)
        for feature, weight in zip(FEATURES, weights, strict=True):
            print(f"{weight:7.3f}  {feature}")
    page.WEIGHTS = np.round(20 * weights) / 20
    print(f"WEIGHTS = np.array({page.WEIGHTS.tolist()})", flush=True)
    if options.answers:
        for name, (corpus, gold) in known.items():
            scores = course(corpus, gold, options.answers)
            print(f"{name}: " + ", ".join(f"{scores[n]:.3f}" for n in SHOWN if n < len(scores)))


if __name__ == "__main__":
    main()
