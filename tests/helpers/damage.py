"""Models that train in a second, and ways to damage their files."""

from helpers.models import tiny_options

SETTINGS = {  # of a model that trains in a second
    "embedding_transformation": "BaselineDnn",
    "num_dnn_layers": 1,
    "fc_size": 16,
    "num_steps": 6,
    "steps_per_checkpoint": 2,
}


def train(data, directory, **other) -> list:
    return ["--data", data, "--dir", directory, *tiny_options(**SETTINGS | other)]


def embed(data, model, *more) -> list:
    ark = model.parent / "out/e.ark"
    return ["utterances", "--feats", data / "feats.scp", "--model", model, "--ark", ark, *more]


def edit(path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def overwrite(path, place: float, content: bytes) -> None:
    """Replace bytes of a file at a fraction of its length."""
    old = bytearray(path.read_bytes())
    begin = int(place * len(old))
    old[begin : begin + len(content)] = content
    path.write_bytes(bytes(old))
