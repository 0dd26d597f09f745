"""What several tests of Kaldi's files take."""

from pathlib import Path

import pytest
from helpers.corpora import VOICES
from helpers.data import write_features


@pytest.fixture
def data(tmp_path) -> Path:
    return write_features(tmp_path / "data", VOICES)
