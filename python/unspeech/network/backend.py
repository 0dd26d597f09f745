"""TensorFlow and Keras, from here for all modules.

Keras imports scikit-learn and Matplotlib for functions that nothing here calls, which takes a third
of the time that a program needs to start. It goes on without them, as where they are not installed.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Packages that seem not to be installed; those imported already stay."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _hidden("sklearn", "matplotlib"):
    import keras
    import tensorflow as tf
    from keras import layers, ops

__all__ = ["keras", "layers", "ops", "tf"]
