"""Augmentation of windows of log-FBANK: other voices, rooms and microphones than were recorded.

The vocal tract of a voice is warped alike in a target and its contexts, so that the pair counts as
another voice; all else differs between the windows of a pair, so that the network cannot tell
positive pairs by the channel. A setting of 0 leaves its part out. A new part is one function and
one line in `PARTS`.
"""

from collections.abc import Callable

import numpy as np

from unspeech.network.backend import tf
from unspeech.network.config import Config

LOWEST, HIGHEST = 20.0, 8000.0  # Hz: Kaldi's mel bank at 16 kHz
WARPS = 41  # factors that warps are drawn from
COLOUR_TERMS = 6  # cosines that a smooth colour is the sum of
DECAY_FRAMES = (1, 2, 3, 4, 6, 8, 11, 15, 20)  # at which a room's tail is added


def augment(windows: tf.Tensor, config: Config, seed: tf.Tensor) -> tf.Tensor:
    """Augment the windows of a step, every part with random numbers of its own.

    Args:
        windows: (batch, windows of a pair, frames, feat_size) log energies.
        config: the `augment_…` settings are the strengths.
        seed: (2,) int32; the same for the same result.
    Returns:
        windows of the same shape.
    """
    shape = windows.shape
    for number, (name, part) in enumerate(PARTS.items()):
        strength = getattr(config, f"augment_{name}")
        if strength > 0:
            windows = part(windows, strength, _Random(seed + tf.constant([0, number << 24])))
            windows = tf.ensure_shape(windows, shape)
    return windows


class _Random:
    """A sequence of stateless random tensors: a restarted run draws what it would have drawn."""

    def __init__(self, seed: tf.Tensor) -> None:
        self._seed, self._drawn = seed, 0

    def _next(self) -> tf.Tensor:
        self._drawn += 1
        return self._seed + tf.constant([0, self._drawn << 20])

    def uniform(self, shape, low=0.0, high=1.0) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, self._next(), low, high)

    def integers(self, shape, low: int, high: int) -> tf.Tensor:
        """From low to high - 1."""
        return tf.random.stateless_uniform(shape, self._next(), low, high, tf.int32)

    def normal(self, shape, standard_deviation=1.0) -> tf.Tensor:
        return tf.random.stateless_normal(shape, self._next(), stddev=standard_deviation)


def _each_window(windows: tf.Tensor) -> list[int]:
    return [windows.shape[0], windows.shape[1], 1, 1]


def _warp(windows: tf.Tensor, strength: float, random: _Random) -> tf.Tensor:
    """Scale the frequency axis of all windows of a pair by exp(-strength) to exp(strength).

    Source: Jaitly and Hinton 2013, vocal tract length perturbation.
    """
    factors = np.exp(np.linspace(-strength, strength, WARPS))
    tables = tf.constant(np.stack([warp_table(f, windows.shape[-1]) for f in factors]))
    chosen = tf.gather(tables, random.integers([windows.shape[0]], 0, WARPS))
    return tf.einsum("bwtf,bfg->bwtg", windows, chosen)


def warp_table(factor: float, bands: int) -> np.ndarray:
    """(bands, bands) float32: takes a frame to one whose band at f Hz is that at factor * f."""
    low, high = _mel(np.array([LOWEST, HIGHEST]))
    width = (high - low) / (bands + 1)
    centres = low + width * np.arange(1, bands + 1)
    hertz = 700 * np.expm1(centres / 1127) * factor
    source = np.clip((_mel(hertz) - low) / width - 1, 0, bands - 1)
    lower = np.minimum(source.astype(int), bands - 2)
    weight = source - lower
    table = np.zeros((bands, bands), np.float32)
    table[lower, np.arange(bands)] = 1 - weight
    table[lower + 1, np.arange(bands)] += weight
    return table


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 1127 * np.log1p(hertz / 700)


def _reverb(windows: tf.Tensor, strength: float, random: _Random) -> tf.Tensor:
    """Give a fraction `strength` of the windows a room's exponential tail, in the power domain."""
    frames, each = windows.shape[2], _each_window(windows)
    level = tf.where(random.uniform(each) < strength, random.uniform(each, 0.02, 0.3), 0.0)
    frames_to_decay = random.uniform(each, 1.0, 12.0)
    power = tf.exp(windows)
    total = power
    for delay in (d for d in DECAY_FRAMES if d < frames):
        delayed = tf.pad(power, [[0, 0], [0, 0], [delay, 0], [0, 0]])[:, :, :frames]
        total += level * tf.exp(-delay / frames_to_decay) * delayed
    return tf.math.log(tf.maximum(total, 1e-10))


def _smooth(windows: tf.Tensor, deviation: float, random: _Random) -> tf.Tensor:
    """A curve over the bands, about `deviation` high, mostly a tilt, for each window."""
    bands = windows.shape[-1]
    numbers = np.arange(1, COLOUR_TERMS + 1)
    terms = np.cos(np.pi * np.outer(numbers, np.arange(bands) + 0.5) / bands) / numbers[:, None]
    terms *= deviation / np.sqrt(np.square(terms).sum(axis=0).mean())
    shape = [*_each_window(windows)[:3], COLOUR_TERMS]
    return tf.matmul(random.normal(shape), tf.constant(terms, tf.float32))


def _noise(windows: tf.Tensor, strength: float, random: _Random) -> tf.Tensor:
    """Give a fraction `strength` of the windows a noise floor of some colour, 30 to 70 dB down."""
    each = _each_window(windows)
    peak = tf.reduce_max(windows, axis=[2, 3], keepdims=True)
    level = peak - random.uniform(each, 7.0, 16.0) + _smooth(windows, 1.0, random)
    noise = level + random.normal(windows.shape, 0.5)
    mixed = tf.reduce_logsumexp(tf.stack([windows, noise]), axis=0)
    return tf.where(random.uniform(each) < strength, mixed, windows)


def _colour(windows: tf.Tensor, strength: float, random: _Random) -> tf.Tensor:
    """Add a smooth frequency response: a microphone."""
    return windows + _smooth(windows, strength, random)


def _gain(windows: tf.Tensor, strength: float, random: _Random) -> tf.Tensor:
    """Add a level."""
    return windows + random.normal(_each_window(windows), strength)


def _band(windows: tf.Tensor, strength: float, random: _Random) -> tf.Tensor:
    """Limit a fraction `strength` of the windows to a band, as a telephone does."""
    bands, each = windows.shape[-1], _each_window(windows)
    band = tf.range(bands)
    lowest = random.integers(each, 0, bands // 8 + 1)
    highest = random.integers(each, bands * 5 // 8, bands)
    outside = ((band < lowest) | (band > highest)) & (random.uniform(each) < strength)
    return tf.where(outside, tf.reduce_min(windows, axis=[2, 3], keepdims=True), windows)


def _mask(windows: tf.Tensor, strength: float, random: _Random) -> tf.Tensor:
    """Blank out up to `strength` of the bands and of the frames of each window.

    Source: Park et al. 2019, SpecAugment.
    """
    blank = tf.reduce_mean(windows, axis=[2, 3], keepdims=True)
    each = _each_window(windows)
    for axis, shape in ((3, [1, 1, 1, -1]), (2, [1, 1, -1, 1])):
        size = windows.shape[axis]
        places = tf.reshape(tf.range(size), shape)
        width = random.integers(each, 0, int(strength * size) + 1)
        first = random.integers(each, 0, size)
        windows = tf.where((places >= first) & (places < first + width), blank, windows)
    return windows


Part = Callable[[tf.Tensor, float, _Random], tf.Tensor]

# In the order of nature: a voice in a room with noise, then the microphone and what follows it.
PARTS: dict[str, Part] = {
    "warp": _warp,
    "reverb": _reverb,
    "noise": _noise,
    "colour": _colour,
    "gain": _gain,
    "band": _band,
    "mask": _mask,
}
