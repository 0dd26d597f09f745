"""Checkpoints of the original TensorFlow 1 program, read into a model.

Settings are those that are given, else of the original's `params` file, else what the checkpoint
itself shows.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.settings import write_yaml
from unspeech.files.text import read_lines
from unspeech.network.backend import keras, tf
from unspeech.network.config_files import make_config, write_config
from unspeech.network.model import Head, UnspeechModel, finish_model

ROOT = "unsupmodel/"  # scope of all variables
NETWORK = (  # settings of the original that shape its network and worked there
    "feat_size", "end_to_end", "sample_rate", "window_length", "window_neg_length", "filter_sizes",
    "num_filters", "first_layer_tanh", "first_layer_log1p", "embedding_transformation",
    "rnn_hidden_cells", "dense_block_filters", "dense_block_layers_connected",
    "dense_block_filters_transition", "num_dnn_layers", "force_resnet_istraining",
    "tied_embeddings_transforms", "tied_final_embeddings_transforms", "fc_size", "embedding_size",
    "dropout_keep_prob", "unit_normalize", "unit_normalize_var",
)  # fmt: skip
_OPTIMIZER = re.compile(r"(^|/)(Adam|Adam_1|global_step|beta1_power|beta2_power)$")


@dataclass(frozen=True)
class Part:
    """One variable of the checkpoint and what it becomes here.

    Attributes:
        name: in the checkpoint, without `unsupmodel/`.
        shape: that it must have there.
        assign: gives its value to the model.
    """

    name: str
    shape: tuple[int, ...]
    assign: Callable[[np.ndarray], None]

    def within(self, scope: str) -> "Part":
        return Part(f"{scope}/{self.name}", self.shape, self.assign)


def _same(name: str, variable: keras.Variable) -> Part:
    return Part(name, tuple(variable.shape), variable.assign)


def _weights(name: str, layer: keras.layers.Layer) -> Iterator[Part]:
    """Kernel and, if it has one, bias of a convolution or dense layer."""
    yield _same(f"{name}/weights", layer.kernel)
    if layer.use_bias:
        yield _same(f"{name}/biases", layer.bias)


def _vgg(encoder: keras.Model) -> Iterator[Part]:
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Conv2D):
            yield from _weights(f"{layer.name.split('_')[0]}/{layer.name}", layer)


def _dense_net(encoder: keras.Model) -> Iterator[Part]:
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Conv2D):
            block, _, i = layer.name.rpartition("_")
            yield from _weights(f"{block}/{block}{i}" if block else f"{i}/Conv", layer)


def _baseline_dnn(encoder: keras.Model) -> Iterator[Part]:
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.Dense):
            yield from _weights(layer.name.removesuffix("_0"), layer)


def _resnet(scope: str) -> Callable[[keras.Model], Iterator[Part]]:
    def parts(encoder: keras.Model) -> Iterator[Part]:
        for layer in encoder.layers:
            unit = re.fullmatch(r"conv(\d)_block(\d+)_(preact|\d)_(conv|bn)", layer.name)
            name = {"conv1_conv": "conv1", "post_bn": "postnorm"}.get(layer.name)
            if unit:
                inner = {"preact": "preact", "0": "shortcut"}.get(unit[3], f"conv{unit[3]}")
                inner += "/BatchNorm" if unit[4] == "bn" and unit[3] != "preact" else ""
                name = f"block{int(unit[1]) - 1}/unit_{unit[2]}/bottleneck_v2/{inner}"
            if name is None:
                continue
            if isinstance(layer, keras.layers.Conv2D):
                yield from (part.within(scope) for part in _weights(name, layer))
            else:
                for variable in layer.weights:
                    yield _same(f"{scope}/{name}/{variable.name}", variable)
        logits = encoder.get_layer("logits")
        kernel = logits.kernel  # there a 1x1 convolution
        yield Part(
            f"{scope}/logits/weights",
            (1, 1, *kernel.shape),
            lambda value: kernel.assign(value[0, 0]),
        )
        yield _same(f"{scope}/logits/biases", logits.bias)

    return parts


def _lstm(**scopes: str) -> Callable[[keras.Model], Iterator[Part]]:
    def parts(encoder: keras.Model) -> Iterator[Part]:
        for name, scope in scopes.items():
            yield from _lstm_parts(f"{scope}/lstm_cell", encoder.get_layer(name).cell)

    return parts


def _lstm_parts(name: str, cell: keras.layers.LSTMCell) -> Iterator[Part]:
    """There the gates' order is input, candidate, forget, output, and 1 is added to forget."""
    inputs, units = cell.kernel.shape[0], cell.units

    def reorder(value: np.ndarray) -> np.ndarray:
        i, candidate, forget, output = np.split(value, 4, axis=-1)
        return np.concatenate([i, forget, candidate, output], axis=-1)

    def assign_kernel(value: np.ndarray) -> None:
        cell.kernel.assign(reorder(value)[:inputs])
        cell.recurrent_kernel.assign(reorder(value)[inputs:])

    def assign_bias(value: np.ndarray) -> None:
        cell.bias.assign(reorder(value) + np.repeat([0, 1, 0, 0], units))

    yield Part(f"{name}/kernel", (inputs + units, 4 * units), assign_kernel)
    yield Part(f"{name}/bias", (4 * units,), assign_bias)


_ENCODERS: dict[str, Callable[[keras.Model], Iterator[Part]]] = {
    "Vgg16": _vgg,
    "Vgg16big": _vgg,
    "Vgg16bigB": _vgg,
    "Resnet_v2_50_small": _resnet("resnet_v2_50"),
    "Resnet_v2_50_small_flat": _resnet("resnet_v2_50"),
    "Resnet_v2_50": _resnet("resnet_v2_50"),
    "Resnet_v2_101": _resnet("resnet_v2_101"),
    "DenseNet": _dense_net,
    "BaselineDnn": _baseline_dnn,
    "Static_LSTM": _lstm(forward="rnn"),
    "Static_biLSTM": _lstm(forward="bidirectional_rnn/fw", backward="bidirectional_rnn/bw"),
    "Dynamic_LSTM": _lstm(forward="rnn"),
    "Dynamic_biLSTM": _lstm(forward="bidirectional_rnn/fw", backward="bidirectional_rnn/bw"),
}


def _head(head: Head) -> Iterator[Part]:
    dense = [layer for layer in (head.hidden, head.second_hidden, head.output_layer) if layer]
    for i, layer in enumerate(dense):
        yield from _weights(f"fully_connected_{i}" if i else "fully_connected", layer)


def parts_of(model: UnspeechModel, names: Iterable[str], tied: bool) -> list[Part]:
    """What the model needs of a checkpoint.

    Args:
        model: with random weights.
        names: of the checkpoint's variables, without `unsupmodel/`.
        tied: whether the checkpoint has one encoder for targets and contexts. The model may have
            two nevertheless: the original never shared the filter bank of `end_to_end`.
    """
    config = model.config
    parts = []
    banks = sorted(n for n in names if re.fullmatch(r"embedding-transform([-_]\d)?/W", n))
    scopes = ["embedding-transform"] * 2 if tied else [f"embedding-transform-{i}" for i in (0, 1)]
    for i, (scope, encoder) in enumerate(
        zip(scopes, (model.target_encoder, model.context_encoder), strict=True)
    ):
        if config.end_to_end:
            filters = encoder.get_layer("filter_bank")
            bank = banks[i].removesuffix("/W") if i < len(banks) else scope
            parts += [_same(f"{bank}/W", filters.kernel), _same(f"{bank}/bias1", filters.bias)]
            encoder = encoder.layers[-1]
        own = _ENCODERS[config.embedding_transformation](encoder)
        parts += [part.within(scope) for part in own]
    for i, head in enumerate((model.target_head, model.context_head)):
        scope = "embedding-transform"
        if not config.tied_final_embeddings_transforms:
            scope += f"-{i}"
        parts += [part.within(scope) for part in _head(head)]
    if config.unit_normalize_var:
        parts.append(_same("out_scaler", model.out_scaler))
    return parts


def read_params(path: Path) -> dict[str, str]:
    """Settings that shape the network, from the original's lines of `name=value`.

    Raises:
        UnspeechError: when the file is missing or has no such line.
    """
    values = dict(line.split("=", 1) for line in read_lines(path) if "=" in line)
    known = {name: values[name] for name in NETWORK if name in values}
    if not known:
        raise UnspeechError(f"{path}: no lines such as 'window_length=64'; not a params file")
    if "filter_sizes" in known:
        known["filter_sizes"] = known["filter_sizes"].split(",")[0]  # it used the first alone
    return known


def shown_settings(shapes: dict[str, list[int]]) -> dict[str, object]:
    """Settings that the variables of a checkpoint show by being there and by their shapes."""
    untied = any(re.match(r"embedding-transform-0/(?!fully_connected)", name) for name in shapes)
    scope = "embedding-transform-0"
    tied_final = f"{scope}/fully_connected/weights" not in shapes
    if tied_final:
        scope = "embedding-transform"
    settings: dict[str, object] = {
        "tied_embeddings_transforms": not untied,
        "tied_final_embeddings_transforms": tied_final,
        "unit_normalize_var": "out_scaler" in shapes,
    }
    heads = [
        name for name in shapes if re.fullmatch(scope + r"/fully_connected(_\d+)?/biases", name)
    ]
    if heads:
        settings["fc_size"] = shapes[f"{scope}/fully_connected/biases"][0]
        settings["embedding_size"] = shapes[max(heads, key=lambda name: (len(name), name))][0]
    return settings


def import_checkpoint(
    prefix: str, directory: Path, params: Path | None, options: dict[str, object]
) -> str:
    """Write the model directory of a checkpoint.

    Args:
        prefix: the checkpoint's, such as `tf10-12000`.
        directory: model directory, new.
        params: the original's params file, or None.
        options: settings over those of `params`.
    Returns: the model's id.
    Raises:
        UnspeechError: naming the variables that are missing, have the wrong shape, or that the
            settings have no use for.
    """
    if (directory / "final.ie.id").exists():
        raise UnspeechError(f"{directory} holds a model already; give another directory")
    try:
        reader = tf.train.load_checkpoint(prefix)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise UnspeechError(
            f"{prefix}: no readable checkpoint; give its prefix, without .index or .data ({error})"
        ) from None
    shapes = {
        name.removeprefix(ROOT): shape
        for name, shape in reader.get_variable_to_shape_map().items()
        if not _OPTIMIZER.search(name)
    }
    given = (read_params(params) if params else {}) | options
    if "window_length" not in given:
        raise UnspeechError(f"{prefix} does not show its window_length: give --window-length")
    given = {"window_neg_length": given["window_length"]} | shown_settings(shapes) | given
    config = make_config(given, params or "command line")
    tied = config.tied_embeddings_transforms
    if config.end_to_end and tied:
        config = make_config(given | {"tied_embeddings_transforms": False}, params or "options")
    if config.embedding_transformation not in _ENCODERS:
        raise UnspeechError(
            f"{config.embedding_transformation}: its checkpoints cannot be read; those of these "
            f"can: {', '.join(_ENCODERS)}"
        )
    model = UnspeechModel(config)
    parts = parts_of(model, shapes, tied)
    check_shapes(prefix, shapes, parts)
    for part in parts:
        part.assign(reader.get_tensor(ROOT + part.name))
    write_config(directory / "config.yaml", config)
    write_yaml(directory / "trained_on.yaml", {"checkpoint": str(prefix)})
    return finish_model(model, directory)


def check_shapes(prefix: str, shapes: dict[str, list[int]], parts: list[Part]) -> None:
    """Refuse a checkpoint that does not fit the settings, see `import_checkpoint`."""
    wanted = {part.name: part.shape for part in parts}
    faults = [f"{n} {list(s)} is missing" for n, s in wanted.items() if n not in shapes]
    faults += [
        f"{n} has shape {list(shapes[n])}, by the settings {list(s)}"
        for n, s in wanted.items()
        if n in shapes and tuple(shapes[n]) != s
    ]
    faults += [f"{n} {list(s)} has no use" for n, s in sorted(shapes.items()) if n not in wanted]
    if faults:
        raise UnspeechError(
            f"{prefix} does not fit the settings; give the run's params file by --params, or the "
            f"settings that it was trained with as options: {'; '.join(faults)}"
        )
