"""Checkpoints of training: restored from the newest sound one, written whole or not at all."""

import re
from pathlib import Path

from google.protobuf.message import DecodeError

from unspeech.cli.errors import UnspeechError
from unspeech.network.backend import tf
from unspeech.training.distribution import LOST


def restore_checkpoint(checkpoint: tf.train.Checkpoint, folder: Path, is_chief: bool) -> str | None:
    """Restore the newest checkpoint that is sound; say which newer ones are not.

    Args:
        folder: of checkpoints `ckpt-<step>`; the list of them in it is not relied upon, and made
            again by the chief.
    Returns: its prefix; None when there is no checkpoint.
    Raises:
        UnspeechError: when there are some, but none is sound.
    """
    steps = sorted(
        int(match[1]) for path in folder.glob("ckpt-*.index") if (match := _CHECKPOINT(path.name))
    )
    for place in reversed(range(len(steps))):
        prefix = str(folder / f"ckpt-{steps[place]}")
        try:
            checkpoint.restore(prefix).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError, DecodeError) as error:
            reason = str(getattr(error, "message", error)).split("\n")[0]
            print(f"WARNING: {prefix}: damaged ({reason:.200}); trying an older checkpoint")
            continue
        if is_chief:
            older = [str(folder / f"ckpt-{step}") for step in steps[: place + 1]]
            tf.compat.v1.train.update_checkpoint_state(folder, prefix, older)
        return prefix
    if steps:
        raise UnspeechError(
            f"{folder}: none of the {len(steps)} checkpoints is sound; remove the folder to train "
            "from the beginning"
        )
    return None


_CHECKPOINT = re.compile(r"ckpt-([0-9]{1,10})\.index").fullmatch


def save_checkpoint(checkpoints: tf.train.CheckpointManager, step: int) -> None:
    """Write a checkpoint, complete or not at all.

    Raises:
        UnspeechError: when it cannot be written, as on a full disk.
    """
    try:
        checkpoints.save(checkpoint_number=step)
    except tf.errors.OpError as error:
        if isinstance(error, LOST):
            raise
        raise UnspeechError(
            f"{checkpoints.directory}: the checkpoint of step {step} cannot be written "
            f"({error.message.splitlines()[0]:.200}): free some space and run this again"
        ) from None
