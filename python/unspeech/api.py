"""Embeddings in Python: audio in, vectors out.

    from unspeech import load_model

    model = load_model("voices-so762")       # by name, or a model directory
    vector = model.embed("a.wav")            # (dim,), unit length
    vectors = model.embed(["a.wav", "b.flac", (samples, 8000)])   # (3, dim)
    similarity = vectors[0] @ vectors[1]     # a cosine

Vectors of one model can be compared with each other and with no others.
"""

from pathlib import Path

import numpy as np
import soxr

from unspeech.audio.decoding import LOUDEST, decode
from unspeech.audio.fbank import dithered, native_fbank, published_options
from unspeech.cli.errors import UnspeechError
from unspeech.embedding.row_maker import row_maker
from unspeech.embedding.rows import RowOptions, default_options
from unspeech.network.config import Config
from unspeech.network.model_dir import config_of

PRETRAINED = Path(__file__).resolve().parent / "pretrained"
Audio = str | Path | tuple[np.ndarray, int]  # a file, or (samples,) in [-1, 1] and their rate in Hz
_SEED = 1  # of the dither, as in steps_unspeech/make_fbank.sh


class Model:
    """A trained model that takes audio.

    Attributes:
        config: its settings.
        dim: of an embedding.

    Args:
        directory: of the model.
    Raises:
        UnspeechError: when it holds no complete model.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        self.config: Config = config_of(self._directory)
        self._vectors = row_maker(self._directory, self._options(), self.config.has_network)
        silence = np.zeros((self.config.window_length, self.config.input_size), np.float32)
        self.dim = len(self._embed(silence))

    def _options(self, **options) -> RowOptions:
        options.setdefault("genfeat_stride", max(1, self.config.window_length // 2))
        return RowOptions(**default_options(self._directory, self.config, options))

    def embed(self, audio: Audio | list[Audio]) -> np.ndarray:
        """Embed recordings, each as a whole.

        Args:
            audio: a file of any format that libsndfile reads; or (samples,) floats in [-1, 1], or
                integers of their full range, and their rate in Hz; or a list of these. Of several
                channels of a file, the first one counts. Other rates than 16,000 Hz are resampled.
        Returns:
            (dim,) float32 of unit length; of a list, (recordings, dim).
        Raises:
            UnspeechError: naming the recording that cannot be used.
        """
        if isinstance(audio, list):
            if not audio:
                return np.zeros((0, self.dim), np.float32)
            return np.stack([self.embed(each) for each in audio])
        return self._embed(self.features(audio))

    def rows(self, audio: Audio, period: int = 10, **options) -> np.ndarray:
        """Embed a recording over time, as `steps_unspeech/extract.sh` does.

        Args:
            audio: as of `embed`.
            period: frames, of 10 ms, from one row to the next.
            options: fields of `rows.RowOptions`, such as `causal=True` or `average="running"`.
        Returns:
            (ceil(frames / period), dim) float32.
        """
        stride = period * self.config.input_rate // 100
        maker = row_maker(
            self._directory,
            self._options(genfeat_stride=stride, **options),
            self.config.has_network,
        )
        ((_, rows),) = maker.rows([("", self.features(audio))], {})
        return rows

    def features(self, audio: Audio) -> np.ndarray:
        """What the model takes of a recording: (frames, feat_size) log-FBANK, 100 a second."""
        name = f"array of {len(audio[0])} samples" if isinstance(audio, tuple) else str(audio)
        if not isinstance(audio, tuple) and not Path(audio).is_file():
            raise UnspeechError(f"{name}: no such file")
        try:
            samples, rate = audio if isinstance(audio, tuple) else decode(str(audio))[:2]
        except ValueError as error:
            raise UnspeechError(f"{name}: {error}") from None
        samples = np.asarray(samples)
        if samples.dtype.kind == "i":  # of 16 bits, say
            samples = samples / -float(np.iinfo(samples.dtype).min)
        samples = samples.astype(np.float32)
        if samples.ndim != 1 or not np.isfinite(samples).all() or rate < 1:
            raise UnspeechError(f"{name}: expected (samples,) finite numbers, and a rate in Hz")
        if np.abs(samples).max(initial=0) > LOUDEST:
            raise UnspeechError(
                f"{name}: samples of up to {np.abs(samples).max():g}; floats lie within ±1"
            )
        if self.config.end_to_end:
            return _at_rate(samples, rate, self.config.sample_rate)[:, None]
        options = published_options(self.config.feat_size)
        samples = _at_rate(samples, rate, int(options["sample-frequency"]))
        wave = dithered("", samples, options["dither"], _SEED)
        ((_, features),) = native_fbank([("", wave)], options)
        if not len(features):
            raise UnspeechError(f"{name}: shorter than a frame of {options['frame-length']:g} ms")
        return features

    def _embed(self, features: np.ndarray) -> np.ndarray:
        ((_, vector),) = self._vectors.vectors([("", features)])
        return vector


def _at_rate(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    return samples if rate == wanted else soxr.resample(samples, rate, wanted)


def load_model(name: str | Path) -> Model:
    """Load a model.

    Args:
        name: a model directory, or the name of a model that is part of the package.
    Raises:
        UnspeechError: when there is no such model, saying which there are.
    """
    directory = Path(name)
    if not directory.exists() and (PRETRAINED / directory).is_dir():
        directory = PRETRAINED / directory
    if not directory.is_dir():
        known = ", ".join(sorted(path.name for path in PRETRAINED.glob("*/")))
        raise UnspeechError(
            f"{name}: no model directory, and no model of this name; known: {known}"
        )
    return Model(directory)
