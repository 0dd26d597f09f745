"""What the report says of its figures and pictures."""

from dataclasses import dataclass

PICTURES = {
    "det.png": (
        "Detection error tradeoff",
        "Each point is one threshold. The nearer the line is to the lower left corner, the fewer "
        "errors; the dotted line is chance.",
    ),
    "distances.png": (
        "Distances of pairs",
        "The less the two hills overlap, the better the distance of two utterances tells whether "
        "one speaker said both.",
    ),
    "tsne.png": (
        "The utterances in a plane",
        "t-SNE puts utterances with similar embeddings near each other. A cluster has the colour "
        "and shape of the speaker that it matches best, so a perfect clustering would make both "
        "pictures look alike.",
    ),
}
PLACES = {"det.png": "tall", "tsne.png": "wide"}
GRADES = [
    (2, "almost perfectly"),
    (10, "well"),
    (20, "fairly well"),
    (35, "roughly"),
    (45, "weakly"),
]


@dataclass(frozen=True)
class Figure:
    """A figure of scores.json in words. `style` is its format; "" in `best`: none is better."""

    key: str
    name: str
    meaning: str
    style: str = ".3f"
    best: str = ""
    chance: str = ""


VERIFICATION = [
    Figure(
        "eer",
        "EER, %",
        "Two utterances count as one speaker's when their cosine is above a threshold. Equal error "
        "rate: the fraction of wrong answers, at the threshold where same-speaker and "
        "different-speaker pairs are mistaken equally often.",
        ".1f",
        "0",
        "50",
    ),
    Figure(
        "min_dcf",
        "minDCF",
        "Cost of errors at the best threshold, if only 1 pair in 100 is of one speaker and both "
        "kinds of error cost the same; 1 is the cost of always answering “different”.",
        ".3f",
        "0",
        "1",
    ),
    Figure(
        "trials_target", "Same-speaker pairs", "Pairs of utterances compared, of one speaker.", ","
    ),
    Figure("trials_nontarget", "Different-speaker pairs", "Pairs compared, of two speakers.", ","),
]
CLUSTERING = [
    Figure(
        "ari",
        "ARI",
        "Adjusted Rand index: agreement of clusters and true speakers on which utterances belong "
        "together, corrected for chance.",
        ".3f",
        "1",
        "0",
    ),
    Figure(
        "nmi",
        "NMI",
        "Normalised mutual information: how much the cluster tells about the speaker and the "
        "other way round. Not corrected for chance: many small clusters raise it.",
        ".3f",
        "1",
    ),
    Figure(
        "pairwise_precision",
        "Pairwise precision",
        "Of the pairs of utterances in one cluster, the fraction that is of one speaker.",
        ".3f",
        "1",
    ),
    Figure(
        "pairwise_recall",
        "Pairwise recall",
        "Of the pairs of utterances of one speaker, the fraction that is in one cluster.",
        ".3f",
        "1",
    ),
    Figure("pairwise_f1", "Pairwise F1", "Harmonic mean of the two.", ".3f", "1"),
    Figure("clusters", "Clusters", "Speakers that the clustering found.", ","),
    Figure("speakers", "True speakers", "By the labels, which training never reads.", ","),
    Figure(
        "outliers",
        "Outliers",
        "Utterances that fit no cluster. In the scores each counts as a cluster of its own.",
        ",",
    ),
    Figure("utterances", "Utterances", "Scored and clustered.", ","),
]
