"""Files of several arrays, in NumPy's own format."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from unspeech.cli.errors import UnspeechError
from unspeech.files.text import open_file


def load_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that numpy's `savez` wrote.

    Raises:
        UnspeechError: when it is missing or damaged.
    """
    try:
        with open_file(path) as file, np.load(file) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UnspeechError(f"{path}: damaged ({error}); make it again") from None
