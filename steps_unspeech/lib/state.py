#!/usr/bin/env python3
"""Begin and finish a step: what its output was made from, and which files are the step's own.

    state.py begin <overwrite> <last-output> [<setting> …] [-- <input> … [-- <other-output> …]]
    state.py same <last-output> <table> <output> [<left-out>]
    state.py failed <last-output>
    state.py finish <last-output>

Called by the functions in outputs.sh, which hold the lock. A setting is `name=value`
or `--name value`; `+name=value` may differ from one call to the next, and work goes on from there.
Beside its last output X a step leaves .X.made_from: a line `name value` a setting, `name md5:…` an
input file (see `files.origins`) and `output:1 name` a file that it made. While the step works the
file is called .X.making_from, `complete:1 name` in it is a file of a complete output that the step
goes on from, and .X.done/ has a stamp of each job that ended well.

With overwrite, the step's own files wait as .<name>.replaced until the new ones are complete; a
call with other settings puts them back. An output that ends with / is a directory: what fills it
replaces the files in it (`kaldi.data_dir.new_data_dir`).
`begin` ends with status 3 when there is nothing to do.
"""

import importlib.util
import os
import sys
from pathlib import Path

from step_files import Origin, Step, put_back, remove, remove_parts, replaced, set_aside

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.files.origins import file_key

COMPLETE = 3  # exit status
NEEDED = ("kaldiio", "numpy", "tensorflow")  # what tells an environment that is set up
AGAIN = "give another directory, or --overwrite true to make it again"


def begin(overwrite: bool, step: Step, now: Origin, free: set[str]) -> None:
    """Note what a step is about to make, or find that there is nothing to do.

    Raises:
        UnspeechError: when the output was made from something else, or not by this step.
    """
    remove_parts(step, now.outputs)
    aside = Origin.read(replaced(step.made))
    making = Origin.read(step.making)
    if aside and (making is None or now.differences(making, free)):
        put_back(step, aside, making.outputs if making else [])
        aside = making = None
    made = Origin.read(step.made)
    if made and step.whole and not os.path.lexists(step.output):
        # Whoever removes a data directory wants it made again, of whatever it is to be.
        remove(step.made)
        remove(step.done)
        made = None

    if overwrite and (made or making):
        if made and not step.whole:
            remove(step.making)  # of an older call; `put_back` would take old files for its own
            set_aside(step, made, now.outputs)
        elif making and not step.whole:
            for file in making.outputs:
                remove(file)
        now.before = [*(made or making).own]
        remove(step.made)
        remove(step.making)
        remove(step.done)
        made = making = None
    elif made:
        difference = now.differences(made, free)
        if difference:
            raise UnspeechError(f"{step.output} was made otherwise: {difference}; {AGAIN}")
        wrong = step.what_is_wrong(made)
        if not wrong and not now.differences(made):
            remove(step.making)
            print(f"{step.output} is complete already: nothing to do")
            sys.exit(COMPLETE)
        if wrong:
            print(f"{wrong}: making it again", flush=True)
            remove(step.done)
        now.before = made.own
        now.complete = made.outputs
    elif making:
        difference = now.differences(making, free)
        if difference and (making.complete or step.work_has_begun()):
            raise UnspeechError(f"{step.output} was begun otherwise: {difference}; {AGAIN}")
        if difference and not step.whole:
            for file in making.outputs:  # such as a config.yaml that training has refused
                remove(file)
        # Jobs of a queue may have ended after the call that began them; their stamps tell.
        now.before = [*making.own, *(now.outputs if step.work_has_begun() else [])]
        now.complete = making.complete

    for file in now.outputs:
        if file not in now.before and _holds_something(file):
            raise UnspeechError(
                f"{file} is there already, and was not made by this step; give another directory"
            )
    now.write(step.making)
    remove(step.made)
    step.done.mkdir(exist_ok=True)


def _holds_something(path: Path) -> bool:
    return os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir()))


def finish(step: Step) -> None:
    """Say that an output is complete, and remove what it replaces."""
    origin = Origin.read(step.making)
    if origin is None:
        raise UnspeechError(f"{step.making}: it is gone; call the step again")
    missing = step.what_is_wrong(Origin(outputs=[step.output]))
    if missing:
        remove(step.done)  # some job thought that it had done its part
        raise UnspeechError(f"{missing}, though all jobs ended well; call the step again")
    remove(replaced(step.made))
    for file in origin.own:
        remove(replaced(file))
    if not step.whole:
        for file in set(origin.before) - set(origin.outputs):
            remove(file)
    made = Origin(origin.settings)
    for file in origin.outputs:
        if file.exists():
            # Of folders, such as checkpoints, users may want the space back; lists may be empty.
            lasts = step.whole or (file.is_file() and file.stat().st_size > 0)
            (made.outputs if lasts else made.before).append(file)
    made.write(step.made)
    remove(step.making)
    remove(step.done)


def failed(step: Step) -> None:
    """Of the files that a step was to make, call only those its own that are there by now."""
    making = Origin.read(step.making)
    if making and not step.whole and not step.work_has_begun():
        making.outputs = [file for file in making.outputs if os.path.lexists(file)]
        making.write(step.making)


def same_utterances(step: Step, table: Path, output: Path, left_out: Path | None) -> None:
    """Compare the names in an output with those in the table that it was made from.

    Raises:
        UnspeechError: naming the first that is in one only; then all jobs are done again.
    """
    wanted, found = names_in(table), names_in(output)
    if left_out:
        found |= names_in(left_out)
    if wanted == found:
        return
    remove(step.done)
    one = min(wanted ^ found)
    raise UnspeechError(
        f"{output}: utterance '{one.decode(errors='replace')}' of {table} is "
        f"{'missing' if one in wanted else 'not to be there'}, {len(found & wanted)} of "
        f"{len(wanted)} are there; see the logs, and call the step again"
    )


def names_in(table: Path) -> set[bytes]:
    """The first word of each line."""
    return {line.split(None, 1)[0] for line in table.read_bytes().split(b"\n") if line.strip()}


def read_settings(words: list[str]) -> tuple[dict[str, str], set[str]]:
    """Read `name=value` and `--name value`; returns the settings, and names of those with a +."""
    settings, free = {}, set()
    words = list(words)
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, value = word[2:], words.pop(0)
        else:
            name, _, value = word.partition("=")
        if name.startswith("+"):
            name = name[1:]
            free.add(name)
        settings[name] = " ".join(value.split())
    return settings, free


def sections(words: list[str]) -> list[list[str]]:
    """Cut words at each `--`."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "--" and len(parts) < 3:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts + [[]] * (3 - len(parts))


def main() -> None:
    what, *words = sys.argv[1:]
    if what != "begin":
        step = Step(Path(words[0]), words[0].endswith("/"))
        files = [Path(word) for word in words[1:]] + [None]
        if what == "same":
            same_utterances(step, *files[:3])
        else:
            {"finish": finish, "failed": failed}[what](step)
        return
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UnspeechError(
            f"{sys.executable} has no {missing[0]}: set up .venv once by "
            f"{Path(__file__).with_name('setup_venv.sh')} (./run.sh does it, too)"
        )
    overwrite, output, *rest = words
    given, inputs, others = sections(rest)
    settings, free = read_settings(given)
    for path in dict.fromkeys(inputs):
        if not os.path.isdir(path):  # directories are compared with the output by begin_step
            base, number = "_".join(os.path.basename(path).split()), 1
            name = base
            while name in settings:
                number += 1
                name = f"{base}#{number}"
            settings[name] = f"md5:{file_key(path)}"
    outputs = [Path(os.path.normpath(file)) for file in (output, *others)]
    step = Step(outputs[0], output.endswith("/"))
    begin(overwrite == "true", step, Origin(settings, outputs), free)


if __name__ == "__main__":
    run_program(main)
