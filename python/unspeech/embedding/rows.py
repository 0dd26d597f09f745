"""What the rows of an i-vector directory are: options, scale, means over time, and their id."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.settings import read_yaml, setting
from unspeech.files.text import read_text
from unspeech.kaldi.tables import utt2spk_of
from unspeech.network.config import FRAMES_A_SECOND, Config

AVERAGES = ("none", "running", "utterance", "speaker")
_T = TypeVar("_T")
STATISTICS = "row_statistics.yaml"  # in the model directory


@dataclass(frozen=True)
class RowOptions:
    """What the rows of an utterance are made of. Lengths are in frames."""

    genfeat_stride: int = setting(10, "frames from one row to the next", "[1, 1000000]")
    causal: bool = setting(
        False, "row t is the window that ends with frame t * stride, so that it can be had while "
        "the speech is going on; else the window that begins there"
    )  # fmt: skip
    normalize_rows: bool = setting(
        False, "zero mean and unit variance a dimension over the training speech"
    )
    average: str = setting(
        "none", "running: the mean of this and all earlier rows of the utterance's speaker; "
        "utterance, speaker: one mean in all rows"
    )  # fmt: skip
    max_remembered_frames: int = setting(
        1000,
        "how many frames' rows a running mean takes along to a speaker's next utterance",
        "[0, inf)",
    )
    prior_frames: float = setting(
        100, "models without a network: so many average frames of the corpus are added to what is "
        "heard, so that rows are near zero at first", "[0, inf)"
    )  # fmt: skip
    feature_means: bool = setting(
        False, "models without a network: put the mean of each channel of the features, over the "
        "frames of the row, before the embedding: for recognisers whose features keep their mean"
    )  # fmt: skip
    kaldi_normalize_to_input_length: bool = setting(
        False, "fill the windows that run over the end with the last frame"
    )
    genfeat_interpolate_outputlength_padding: bool = setting(
        True, "else repeat the last whole window's row to the end; without both, rows end there"
    )
    rows_as_original: bool = setting(
        False, "exactly the original's windows: rows over the end are the last possible window, "
        "wherever it begins, and frames fewer than a window are filled up with zeros; on by "
        "default with a model of the original's"
    )  # fmt: skip
    genfeat_combine_contexts: bool = setting(False, "append the context head's embedding")
    genfeat_combine_fbank: bool = setting(False, "put the features of the row's frame before it")
    genfeat_boost: bool = setting(False, "scale each utterance's embeddings to a range of about 10")
    generate_fbank_segmentation: bool = setting(
        False, "append how well this window goes with those one and two windows before it"
    )
    genfeat_kaldi_meannorm: bool = setting(
        False, "replace all rows by their mean, scaled to unit length"
    )
    generate_speaker_vectors: bool = setting(False, "one row only, the mean")
    genfeat_max_length: int = setting(
        100_000,
        "frames embedded at a time; longer utterances are cut into pieces and joined",
        "[1, inf)",
    )

    @property
    def both_heads(self) -> bool:
        """Whether the context head is needed, too."""
        return self.genfeat_combine_contexts or self.generate_fbank_segmentation


_NOT_CAUSAL = (
    "kaldi_normalize_to_input_length",
    "rows_as_original",
    "genfeat_boost",
    "genfeat_kaldi_meannorm",
    "generate_speaker_vectors",
)
_OTHER_ROWS = (
    "normalize_rows",
    "feature_means",
    "genfeat_combine_contexts",
    "genfeat_combine_fbank",
    "genfeat_boost",
    "genfeat_kaldi_meannorm",
    "generate_fbank_segmentation",
)


def check_row_options(options: RowOptions, config: Config) -> None:
    """Refuse options that contradict each other or the model.

    Raises:
        UnspeechError: naming the option.
    """
    if options.genfeat_stride < 1:
        raise UnspeechError(
            f"genfeat_stride must be at least 1 frame, not {options.genfeat_stride}"
        )
    if options.average not in AVERAGES:
        raise UnspeechError(f"average is '{options.average}'; it can be {', '.join(AVERAGES)}")
    if options.max_remembered_frames < 0:
        raise UnspeechError(f"max_remembered_frames is {options.max_remembered_frames}; at least 0")
    if options.generate_fbank_segmentation and config.window_length % options.genfeat_stride:
        raise UnspeechError(
            f"generate_fbank_segmentation: window_length {config.window_length} is not a "
            f"multiple of genfeat_stride {options.genfeat_stride}"
        )
    if options.generate_fbank_segmentation and not (
        config.objective == "logistic" and config.use_dot_combine
    ):
        raise UnspeechError(
            "generate_fbank_segmentation: dot products are probabilities with the objective "
            "logistic and use_dot_combine alone, which this model was not trained with"
        )
    later = [name for name in _NOT_CAUSAL if getattr(options, name)]
    if options.average in ("utterance", "speaker"):
        later.append(f"average {options.average}")
    if options.causal and later:
        raise UnspeechError(f"causal rows cannot know what comes later: leave out {later[0]}")


def is_of_original(model: str | Path) -> bool:
    """Whether a model directory holds an imported model, see `import_tf1`."""
    path = Path(model) / "trained_on.yaml"
    return path.is_file() and "checkpoint" in read_yaml(path)


def default_options(model: str | Path, config: Config, given: dict) -> dict:
    """Options of rows, those that are given over those that the model asks for."""
    if given.get("causal") or config.end_to_end:
        return given
    return {"rows_as_original": is_of_original(model)} | given


def rows_id(model: str | Path, options: RowOptions) -> str:
    """The `final.ie.id` of rows: that of the model, unless they are not its embeddings as they are.

    Kaldi refuses to decode with i-vectors whose id is not that of those a network was trained on.
    Rows of another scale or with other columns have another id. Rows of other windows, causal ones
    and means do not, as with Kaldi's i-vectors: a network takes them all.

    Args:
        model: model directory.
        options: what the rows are made of.
    Source: Kaldi's `steps/nnet2/check_ivectors_compatible.sh`.
    """
    model_id = read_text(Path(model) / "final.ie.id")
    other = [name for name in _OTHER_ROWS if getattr(options, name)]
    if not other:
        return model_id
    digest = hashlib.md5(" ".join([model_id, *other]).encode(), usedforsecurity=False)
    if options.normalize_rows:
        digest.update((Path(model) / STATISTICS).read_bytes())
    return digest.hexdigest() + "\n"


@dataclass(frozen=True)
class RowScale:
    """Shift and scale of rows. Attributes: mean and standard deviation, (dim,) each."""

    mean: np.ndarray
    deviation: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(rows, dim) to the same, shifted and scaled."""
        return (rows - self.mean) / self.deviation


def load_scale(model: str | Path, options: RowOptions) -> RowScale | None:
    """What `normalize_rows` does to a model's embeddings; None without them.

    Raises:
        UnspeechError: when the model directory has no statistics, or damaged ones.
    """
    if not options.normalize_rows:
        return None
    path, config_path = Path(model) / STATISTICS, Path(model) / "config.yaml"
    if not path.is_file():
        raise UnspeechError(
            f"{path}: no such file; the model was imported or trained before there was one: run "
            f"python3 -m unspeech.row_statistics --data <training-data> --model {model}"
        )
    statistics = read_yaml(path)
    heads = ["targets"] + ["contexts"] * options.both_heads
    try:
        mean, deviation = (
            np.concatenate([np.array(statistics[f"{head}_{what}"], np.float32) for head in heads])
            for what in ("mean", "deviation")
        )
        size = int(read_yaml(config_path)["embedding_size"]) * len(heads)
    except (KeyError, ValueError, TypeError):
        raise _damaged(path) from None
    if not (mean.shape == deviation.shape == (size,)):
        raise _damaged(path)
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
        raise _damaged(path)
    return RowScale(mean, deviation)


def _damaged(path: Path) -> UnspeechError:
    return UnspeechError(
        f"{path}: damaged; run python3 -m unspeech.row_statistics --data <training-data> "
        f"--model {path.parent}"
    )


def unit_mean(rows: np.ndarray) -> np.ndarray:
    """The mean of an utterance's rows, scaled to unit length: (rows, dim) to (dim,) float32."""
    mean = rows.mean(axis=0, dtype=np.float64)
    return (mean / np.linalg.norm(mean)).astype(np.float32)


class RunningMean:
    """The mean of all rows so far, carried from one utterance of a speaker to the next.

    Args:
        remembered: at the end of an utterance the rows so far count as at most so many.
    Source: the adaptation state of Kaldi's `src/online2/online-ivector-feature.h`.
    """

    def __init__(self, remembered: float) -> None:
        self._remembered = remembered
        self._sum, self._count = 0.0, 0.0

    def add(self, rows: np.ndarray) -> np.ndarray:
        """(rows, dim) to (rows, dim) float32: the mean up to and with each of them."""
        sums = self._sum + np.cumsum(rows, axis=0, dtype=np.float64)
        counts = self._count + np.arange(1, len(rows) + 1)
        self._sum, self._count = sums[-1], counts[-1]
        return (sums / counts[:, None]).astype(np.float32)

    def end_utterance(self) -> None:
        """Say that the next rows are those of the speaker's next utterance."""
        if self._count > self._remembered:
            self._sum *= self._remembered / self._count
            self._count = self._remembered


def averaged(
    utterances: Iterable[tuple[str, np.ndarray]],
    options: RowOptions,
    input_rate: int,
    spk2utt: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Replace rows by means over time, see `RowOptions.average`.

    Args:
        utterances: (name, (rows, dim)), in any order.
        options: which mean.
        input_rate: frames a second that the stride counts.
        spk2utt: {speaker: 'utterance utterance …'} for means over a speaker, in the order of time;
            without it, each utterance is a speaker of its own.
    Yields:
        the same of each utterance, speaker by speaker.
    """
    if options.average == "none":
        yield from utterances
        return
    for speaker in by_speaker(utterances, {} if options.average == "utterance" else spk2utt or {}):
        if options.average == "running":
            mean = RunningMean(remembered_rows(options, input_rate))
            for name, rows in speaker.items():
                yield name, mean.add(rows)
                mean.end_utterance()
        else:
            constant = np.concatenate(list(speaker.values())).mean(axis=0, dtype=np.float64)
            for name, rows in speaker.items():
                yield name, np.tile(constant.astype(np.float32), (len(rows), 1))


def remembered_rows(options: RowOptions, input_rate: int) -> float:
    """`max_remembered_frames`, of 10 ms, in rows."""
    return options.max_remembered_frames * input_rate / FRAMES_A_SECOND / options.genfeat_stride


def by_speaker(
    utterances: Iterable[tuple[str, _T]], spk2utt: Mapping[str, str]
) -> Iterator[dict[str, _T]]:
    """{utterance: rows} of each speaker, in the order of spk2utt, once they are complete."""
    names_of = {speaker: names.split() for speaker, names in spk2utt.items()}
    speaker_of = utt2spk_of(spk2utt)
    waiting: dict[str, dict[str, _T]] = {speaker: {} for speaker in spk2utt}
    for name, rows in utterances:
        if name not in speaker_of:
            yield {name: rows}
            continue
        speaker = speaker_of[name]
        waiting[speaker][name] = rows
        if len(waiting[speaker]) == len(names_of[speaker]):
            own = waiting.pop(speaker)
            yield {name: own[name] for name in names_of[speaker]}
    for speaker, own in waiting.items():  # of utterances without features
        if own:
            yield {name: own[name] for name in names_of[speaker] if name in own}
