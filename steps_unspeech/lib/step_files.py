"""The files of a step: what its output was made from, and those that are set aside and put back.

`state.py` says when.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from unspeech.files.atomic import atomic_write, parts_of
from unspeech.files.origins import what_is_missing


@dataclass
class Origin:
    """What is in a .made_from file."""

    settings: dict[str, str] = field(default_factory=dict)  # and keys of inputs
    outputs: list[Path] = field(default_factory=list)
    before: list[Path] = field(default_factory=list)  # its own, too, but perhaps there no more
    complete: list[Path] = field(default_factory=list)  # that were complete when it was begun

    @property
    def own(self) -> list[Path]:
        return list(dict.fromkeys(self.outputs + self.before))

    @classmethod
    def read(cls, path: Path) -> "Origin | None":
        if not path.exists():
            return None
        origin = cls()
        lists = origin._lists()
        for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            name, _, value = line.partition(" ")
            if name.partition(":")[0] in lists and ":" in name:
                lists[name.partition(":")[0]].append(Path(os.path.normpath(path.parent / value)))
            else:
                origin.settings[name] = value
        return origin

    def write(self, path: Path) -> None:
        lines = [f"{name} {value}" for name, value in self.settings.items()]
        for name, files in self._lists().items():
            for number, file in enumerate(files, start=1):
                lines.append(f"{name}:{number} {os.path.relpath(file, path.parent)}")
        with atomic_write(path, "wb") as file:
            file.write("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))

    def _lists(self) -> dict[str, list[Path]]:
        return {"output": self.outputs, "before": self.before, "complete": self.complete}

    def differences(self, old: "Origin", free: set[str] = frozenset()) -> str:
        """How these settings and inputs differ from older ones, in words; "" if they do not."""
        words = []
        for name in dict.fromkeys([*self.settings, *old.settings]):
            was, now = old.settings.get(name, ""), self.settings.get(name, "")
            if name in free or (was == now and (name in old.settings) == (name in self.settings)):
                continue
            if was.startswith("md5:") and now.startswith("md5:"):
                words.append(f"{name} is another one now")
            else:
                words.append(f'{name} was "{was}", is "{now}"')
        return "; ".join(words)


@dataclass(frozen=True)
class Step:
    """The files that keep a step's state."""

    output: Path
    whole: bool = False  # whether the output is a directory

    def beside(self, ending: str) -> Path:
        return self.output.with_name(f".{self.output.name}.{ending}")

    @property
    def made(self) -> Path:
        return self.beside("made_from")

    @property
    def making(self) -> Path:
        return self.beside("making_from")

    @property
    def done(self) -> Path:
        return self.beside("done")

    def work_has_begun(self) -> bool:
        """Whether a job has ended well, or training has come to a checkpoint or a round."""
        folders = [self.done]
        if not self.whole:
            folders += [self.output.parent / name for name in ("checkpoints", "rounds")]
        return any(folder.is_dir() and any(folder.iterdir()) for folder in folders)

    def what_is_wrong(self, made: Origin) -> str | None:
        """Say in words what is missing of a complete output."""
        if self.whole:
            # Imported here: few steps make a directory, and all of them begin with this file.
            from unspeech.kaldi.data_dir import what_is_gone

            return what_is_gone(self.output)
        for file in made.outputs or [self.output]:
            if not file.exists():
                return f"{file} is gone"
            if file.is_file() and file.stat().st_size == 0:
                return f"{file} is empty"
        return what_is_missing(self.output) if self.output.suffix == ".scp" else None


def replaced(file: Path) -> Path:
    """The name of a file that is to be replaced."""
    return file.with_name(f".{file.name}.replaced")


def remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


def set_aside(step: Step, made: Origin, outputs: list[Path]) -> None:
    """Rename the step's own files. The state goes first: `put_back` goes by it."""
    os.replace(step.made, replaced(step.made))
    for file in dict.fromkeys(made.own + outputs):
        if os.path.lexists(file):
            remove(replaced(file))
            os.replace(file, replaced(file))


def put_back(step: Step, aside: Origin, partial: list[Path]) -> None:
    """Give the files that were set aside their names again, in place of unfinished new ones.

    The new ones go first, and then what says that they are there: called again after it was
    killed, this does not take old files for new ones.
    """
    for file in partial:
        remove(file)
    remove(step.done)
    remove(step.making)
    for file in aside.own:
        if os.path.lexists(replaced(file)):
            remove(file)
            os.replace(replaced(file), file)
    os.replace(replaced(step.made), step.made)


def remove_parts(step: Step, outputs: list[Path]) -> None:
    """Remove what killed writers left: nobody else writes here, since the step holds the lock."""
    for file in outputs:
        for part in parts_of(file):
            remove(part)
    if step.whole:
        remove(step.beside("part"))
        return
    for folder, folders, files in os.walk(step.output.parent):
        # Folders with a lock of their own are those of other steps.
        folders[:] = [name for name in folders if not Path(folder, name, ".lock").exists()]
        for name in files:
            if name.startswith(".") and name.endswith(".part"):
                Path(folder, name).unlink(missing_ok=True)
