"""What several tests share: made-up features, a tiny trained model, programs as users call them."""

import os
from pathlib import Path

import pytest
from helpers.data import made_once, voices, write_features
from helpers.models import tiny_options, train_statistics
from helpers.programs import call

# Modules that take longest, so that no worker is left alone with one of them at the end.
LONGEST = ["test_recipe", "test_encoders", "test_import_tf1", "test_run", "test_train"]
# Modules that --quick runs: none imports TensorFlow. What takes a trained network is left out.
QUICK = {
    *("test_layers", "test_features", "test_alignments", "test_audio", "test_fbank", "test_corpus"),
    *("test_pooling", "test_sampling", "test_head", "test_averages", "test_statistics_model"),
    *("test_cluster", "test_clustered_data", "test_scores"),
}


def pytest_addoption(parser) -> None:
    parser.addoption("--all", action="store_true", help="run tests that take long, too")
    parser.addoption("--quick", action="store_true", help="run some in under a minute")


def pytest_ignore_collect(collection_path, config) -> bool | None:
    """Do not even import what --quick does not run."""
    own = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if config.getoption("--quick") and own:
        wanted = collection_path.stem in QUICK and collection_path.parent.name != "faults"
        return None if wanted else True
    return None


def pytest_collection_modifyitems(config, items) -> None:
    """Put the longest modules first; leave out what is not asked for."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.module.__name__, len(rank)))
    if config.getoption("--all"):
        return
    quick = config.getoption("--quick")
    left_out = [
        item
        for item in items
        if item.get_closest_marker("takes_long") or (quick and "tiny_model" in item.fixturenames)
    ]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    return made_once(tmp_path_factory, "tiny_data", lambda data: write_features(data, voices()))


@pytest.fixture(scope="session")
def tiny_model(tiny_data, tmp_path_factory) -> Path:
    def train(model: Path) -> None:
        call("train", "--data", tiny_data, "--dir", model, *tiny_options())

    return made_once(tmp_path_factory, "tiny_model", train)


@pytest.fixture(scope="session")
def many_data(tmp_path_factory) -> Path:
    """As many utterances as it takes to know all covariances of a model without a network."""
    features = voices(speakers=20, utterances=12)
    return made_once(tmp_path_factory, "many_data", lambda data: write_features(data, features))


@pytest.fixture(scope="session")
def statistics_model(many_data, tmp_path_factory) -> Path:
    return made_once(
        tmp_path_factory, "statistics_model", lambda model: train_statistics(many_data, model)
    )


@pytest.fixture(scope="session")
def kaldi() -> Path:
    """A Kaldi checkout, whose scripts need not be compiled; tests without one are skipped."""
    root = Path(os.environ.get("KALDI_ROOT") or "/nonexistent")
    if not (root / "egs/wsj/s5/utils").is_dir():
        pytest.skip("KALDI_ROOT names no Kaldi checkout")
    return root
