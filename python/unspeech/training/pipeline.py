"""The batches of training, made ahead of the network in another thread."""

from unspeech.network.backend import tf
from unspeech.network.config import Config
from unspeech.training.sampling import ContextSampler


def dataset(sampler: ContextSampler, config: Config, first: int) -> tf.data.Dataset:
    """Batches of the steps from `first` to the last one, as a training step takes them.

    Yields:
        targets (batch, frames, dim) and contexts (batch, contexts, frames, dim), float32; lengths
        of both, negative pairs and groups, int32, see `sampling.Batch`.
    """
    size, contexts, dim = config.batch_size, config.contexts, config.input_size
    target_frames = None if config.ali_ctm else config.window_length
    context_frames = None if config.ali_ctm else config.window_neg_length
    shapes = [
        (size, target_frames, dim),
        (size, contexts, context_frames, dim),
        (size,),
        (size, contexts),
        (size * config.negative_samples, 2),
        (size,),
    ]
    types = [tf.float32, tf.float32] + 4 * [tf.int32]

    def draw(step):
        batch = sampler.batch(int(step))
        return (*batch.windows, batch.negatives, batch.groups)

    def make(step):
        arrays = tf.numpy_function(draw, [step], types)
        return tuple(tf.ensure_shape(a, s) for a, s in zip(arrays, shapes, strict=True))

    return tf.data.Dataset.range(first, config.num_steps + 1).map(make).prefetch(4)
