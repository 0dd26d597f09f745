"""Settings: declared once as a dataclass, read from YAML files and options, typed and checked."""

import argparse
import dataclasses
from pathlib import Path

import yaml

from unspeech.cli.errors import UnspeechError
from unspeech.cli.limits import Number
from unspeech.cli.options import BOOLEANS
from unspeech.files.atomic import atomic_write
from unspeech.files.text import read_text


def setting(default, help_text: str, limits: str = "(-inf, inf)"):
    """A field of a dataclass of settings, with its default and the help of its option.

    Args:
        limits: of a number, see `Number`.
    """
    return dataclasses.field(default=default, metadata={"help": help_text, "limits": limits})


def typed_values(values: dict, kind: type, source: str | Path) -> dict:
    """Give values the types of the fields of a dataclass of settings.

    Raises:
        UnspeechError: for an unknown name, a wrong type or a number beyond its limits.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in values:
        if name not in fields:
            raise UnspeechError(f"{source}: unknown setting '{name}'; known: {', '.join(fields)}")
    return {name: _typed(fields[name], value, source) for name, value in values.items()}


def _typed(field: dataclasses.Field, value, source: str | Path):
    if value is None:
        raise UnspeechError(f"{source}: {field.name} has no value: give one, or leave the line out")
    if isinstance(value, list | dict):
        raise UnspeechError(f"{source}: {field.name} takes one value, not several")
    text = str(value).strip()
    if field.type is str:
        return text
    if field.type is bool:
        if text.lower() in BOOLEANS:
            return BOOLEANS[text.lower()]
        raise UnspeechError(f"{source}: {field.name} must be true or false, not '{text}'")
    try:
        return Number(field.type, field.metadata["limits"])(text)
    except argparse.ArgumentTypeError as error:
        raise UnspeechError(f"{source}: {field.name} {error}") from None


def read_yaml(path: str | Path) -> dict:
    """Read a flat YAML mapping.

    Raises:
        UnspeechError: when the file cannot be read or is not such a mapping.
    """
    try:
        values = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: a 13th month
        raise UnspeechError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise UnspeechError(f"{path}: expected lines of '<setting>: <value>'")
    return values


def write_yaml(path: str | Path, values: dict) -> None:
    """Write a flat mapping, as `read_yaml` reads it."""
    with atomic_write(path) as file:
        yaml.safe_dump(values, file, sort_keys=False, allow_unicode=True, width=1 << 30)


def add_options(parser: argparse.ArgumentParser, kind: type, title: str) -> None:
    """Give the parser one option for each field of a dataclass of settings; not given is None."""
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(kind):
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=None,
            **({"nargs": "?", "const": "true"} if field.type is bool else {}),
            metavar=field.type.__name__.upper(),
            help=f"{field.metadata['help']} ({field.default})",
        )


def given_options(options: argparse.Namespace, kind: type) -> dict:
    """What the command line gave of the fields of a dataclass of settings, with their types."""
    return {
        field.name: _typed(field, getattr(options, field.name), "command line")
        for field in dataclasses.fields(kind)
        if getattr(options, field.name) is not None
    }
