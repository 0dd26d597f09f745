"""What layers and steps do alike on several devices: each replica takes its part of a batch."""

from unspeech.network.backend import tf


def own_part(batch: tf.Tensor) -> tf.Tensor:
    """This replica's part of the first axis of something that all replicas hold."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch
    size = batch.shape[0] // context.num_replicas_in_sync
    first = context.replica_id_in_sync_group * size
    return tf.ensure_shape(batch[first : first + size], [size, *batch.shape[1:]])


def gather(part: tf.Tensor) -> tf.Tensor:
    """The parts of all replicas one after the other: what `own_part` has taken apart."""
    context = tf.distribute.get_replica_context()
    count = context.num_replicas_in_sync
    if count == 1:
        return part
    shape = [part.shape[0] * count, *part.shape[1:]]
    return tf.ensure_shape(context.all_gather(part, axis=0), shape)


def dropout(features: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Stateless dropout of this replica's rows: what one device would drop of the whole batch.

    With mixed precision, too: random numbers are drawn in float32, as others are not the same.
    """
    count = tf.distribute.get_replica_context().num_replicas_in_sync
    whole = tf.ones([features.shape[0] * count, *features.shape[1:]])
    kept = own_part(tf.nn.experimental.stateless_dropout(whole, rate, seed=seed))
    return features * tf.cast(kept, features.dtype)


def several_replicas() -> bool:
    """Whether what is built now is for several: batch normalisation then has to look at all."""
    return tf.distribute.get_strategy().num_replicas_in_sync > 1
