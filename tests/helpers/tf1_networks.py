"""The original's networks in TensorFlow 1, written here to have checkpoints of them."""

from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

FRAMES, DIM, FC, EMBEDDING = 32, 32, 12, 6


def variable(name: str, *shape: int, around: float = 0.0):
    """A variable with random values, of the size that keeps a layer's output in bounds."""
    spread = np.prod(shape[:-1]) ** -0.5 if len(shape) > 1 else 0.2
    return v1.get_variable(
        name, shape, initializer=v1.random_normal_initializer(around, spread, seed=len(name))
    )


def leaky(x):
    return tf.maximum(x, 0.2 * x)


def layer(x, units: int, name: str, size: int | None = None, stride=1, activation=leaky):
    """Fully connected, or with `size` a convolution, as TF-Slim names its variables."""
    with v1.variable_scope(name):
        shape = (x.shape[-1], units) if size is None else (size, size, x.shape[-1], units)
        weights, biases = variable("weights", *shape), variable("biases", units)
        product = x @ weights if size is None else tf.nn.conv2d(x, weights, stride, "SAME")
        return activation(product + biases)


def vgg(x, blocks):
    for block, (repeats, channels) in enumerate(blocks, start=1):
        for i in range(repeats):
            x = layer(x, channels, f"conv{block}/conv{block}_{i + 1}", 3)
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return x


def vgg16(window):
    return vgg(window[..., None], [(2, 16), (2, 32), (3, 64), (3, 128)])


def vgg16big(window):
    return vgg(window[..., None], [(2, 32), (2, 64), (3, 128), (3, 256), (3, 512)])


def dense_net(window):
    def block(x, name):
        outputs = [layer(x, 5, f"{name}/{name}0", 3)]
        for i in (1, 2, 3):
            outputs.append(layer(tf.concat(outputs, 3), 5, f"{name}/{name}{i}", 3))
        return outputs[-1]

    x = layer(block(window[..., None], "dense_unit2"), 4, "transition1/Conv", 3)
    x = block(tf.nn.avg_pool2d(x, 2, 2, "VALID"), "dense_unit3")
    return tf.nn.avg_pool2d(x, 7, 1, "VALID")


def baseline_dnn(window):
    x = tf.reshape(window, [-1, FRAMES * DIM])
    for name in ("fully_connected", "fully_connected_1", "fully_connected_2"):
        x = layer(x, FC, name)
    return x


def lstm(window, scope: str, frames) -> tf.Tensor:
    """Output after the frames in the order given."""
    units = 8
    with v1.variable_scope(scope + "/lstm_cell"):
        kernel, bias = variable("kernel", DIM + units, 4 * units), variable("bias", 4 * units)
    output = state = tf.zeros([tf.shape(window)[0], units])
    for frame in frames:
        gates = tf.concat([window[:, frame], output], 1) @ kernel + bias
        i, candidate, forget, out = tf.split(gates, 4, axis=1)
        state = tf.sigmoid(forget + 1) * state + tf.sigmoid(i) * tf.tanh(candidate)
        output = tf.sigmoid(out) * tf.tanh(state)
    return output


def forward_lstm(window):
    return lstm(window, "rnn", range(FRAMES))


def static_bilstm(window):
    forward = lstm(window, "bidirectional_rnn/fw", range(FRAMES))
    return tf.concat([forward, lstm(window, "bidirectional_rnn/bw", [FRAMES - 1])], 1)


def dynamic_bilstm(window):
    forward = lstm(window, "bidirectional_rnn/fw", range(FRAMES))
    return forward + lstm(window, "bidirectional_rnn/bw", reversed(range(FRAMES)))


def resnet_small(window, mean=True):
    def norm(x, name):
        with v1.variable_scope(name):
            size = x.shape[-1]
            mean, variance = (
                variable("moving_mean", size),
                variable("moving_variance", size, around=1),
            )
            shift, scale = variable("beta", size), variable("gamma", size, around=1)
        return tf.nn.relu((x - mean) / tf.sqrt(abs(variance) + 1e-5) * scale + shift)

    def unit(x, base, stride):
        before = norm(x, "preact")
        if x.shape[-1] == 4 * base:
            shortcut = x[:, ::stride, ::stride]
        else:
            shortcut = layer(before, 4 * base, "shortcut", 1, activation=tf.identity)
        y = norm(unbiased(before, base, "conv1", 1), "conv1/BatchNorm")
        y = norm(unbiased(y, base, "conv2", 3)[:, ::stride, ::stride], "conv2/BatchNorm")
        return shortcut + layer(y, 4 * base, "conv3", 1, activation=tf.identity)

    def unbiased(x, channels, name, size):
        with v1.variable_scope(name):
            weights = variable("weights", size, size, x.shape[-1], channels)
        return tf.nn.conv2d(x, weights, 1, "SAME")

    with v1.variable_scope("resnet_v2_50"):
        x = layer(window[..., None], 64, "conv1", 7, activation=tf.identity)[:, ::2, ::2]
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        for block, (base, units, stride) in enumerate(
            [(32, 3, 2), (64, 4, 2), (128, 6, 2), (256, 3, 1)], start=1
        ):
            for i in range(1, units + 1):
                with v1.variable_scope(f"block{block}/unit_{i}/bottleneck_v2"):
                    x = unit(x, base, stride if i == units else 1)
        x = norm(x, "postnorm")
        if mean:
            x = tf.reduce_mean(x, [1, 2], keepdims=True)
        return layer(x, FC, "logits", 1, activation=tf.identity)


def resnet_small_flat(window):
    return resnet_small(window, mean=False)


def learnt_filters_and_vgg16(samples):
    values = np.random.default_rng(0).normal(size=(64, 1, 24)).astype(np.float32)
    filters = v1.Variable(values * 0.1, name="W")
    shift = v1.Variable(np.linspace(-0.1, 0.1, 24, dtype=np.float32), name="bias1")
    x = tf.math.log1p(abs(tf.tanh(tf.nn.conv1d(samples, filters, 2, "VALID") + shift)))
    x = tf.nn.max_pool1d(x, 2, 2, "VALID")
    return vgg16(x)


def write_checkpoint(prefix: Path, encoder, shape: tuple[int, ...], tied=True, tied_heads=False,
                     hidden=1, unit_normalize=False, optimizer=False):  # fmt: skip
    """Write a checkpoint; returns two batches of windows and what the two heads give for them."""
    rng = np.random.default_rng(1)
    windows = rng.normal(size=(2, 4, *shape)).astype(np.float32)
    with tf.Graph().as_default(), v1.Session() as session:
        inputs = [v1.placeholder(tf.float32, [None, *shape]) for _ in range(2)]
        outputs = []
        with v1.variable_scope("unsupmodel"):
            for i, window in enumerate(inputs):
                scope = "embedding-transform" + ("" if tied else f"-{i}")
                with v1.variable_scope(scope, reuse=i > 0 and tied):
                    x = encoder(window)
                    x = tf.reshape(x, [-1, np.prod(x.shape[1:])])
                scope = "embedding-transform" + ("" if tied_heads else f"-{i}")
                with v1.variable_scope(scope, reuse=i > 0 and tied_heads):
                    for number in range(hidden):
                        x = layer(x, FC, f"fully_connected_{number}".removesuffix("_0"))
                    x = layer(x, EMBEDDING, f"fully_connected_{hidden}", activation=tf.identity)
                if unit_normalize:
                    x /= tf.norm(x, axis=1, keepdims=True)
                outputs.append(x)
            scaler = v1.Variable(1.7, name="out_scaler")
            outputs = [scaler * x for x in outputs]
            if optimizer:
                step = v1.Variable(0, name="global_step")
                loss = tf.reduce_sum(outputs[0] * outputs[1])
                train = v1.train.AdamOptimizer(1e-3).minimize(loss, global_step=step)
        session.run(v1.global_variables_initializer())
        if optimizer:
            session.run(train, dict(zip(inputs, windows, strict=True)))
        v1.train.Saver().save(session, str(prefix), global_step=1)
        return windows, session.run(outputs, dict(zip(inputs, windows, strict=True)))


def write_params(path: Path, **other) -> None:
    values = {
        "device": "/gpu:1", "filelist": "feats/ted_unnormalized.ark", "left_gap": 1,
        "batch_normalization": True, "window_length": FRAMES, "window_neg_length": FRAMES,
        "feat_size": DIM, "fc_size": FC, "embedding_size": EMBEDDING, "rnn_hidden_cells": 8,
        "embedding_transformation": "Vgg16", "unit_normalize_var": True, "filter_sizes": "512",
        "tied_embeddings_transforms": True, "tied_final_embeddings_transforms": False,
        "force_resnet_istraining": False,
    }  # fmt: skip
    path.write_text("".join(f"{name}={value}\n" for name, value in (values | other).items()) + "\n")
