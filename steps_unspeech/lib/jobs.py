"""What the runners of jobs share: the calling form of Kaldi's `run.pl`, and their last words.

Source: Kaldi's `utils/parallel/run.pl`, for the calling form.
"""

import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LINES_SHOWN = 10


@dataclass(frozen=True)
class Call:
    """What the command line asks for."""

    name: str | None  # what stands for the job's number
    jobs: range
    log: str
    command: str
    max_jobs_run: int | None = None
    options: dict[str, str] = field(default_factory=dict)  # of the queue: `--mem 4G` is mem: 4G
    own_options: tuple[str, ...] = ()  # of the queue's own form, with one dash

    def numbered(self, text: str, number: int) -> str:
        """The text for one job."""
        return text.replace(self.name, str(number)) if self.name else text


def parse(arguments: list[str]) -> Call:
    """Read the command line in `run.pl`'s form.

    Raises:
        ValueError: saying what is wrong with it.
    """
    rest = list(arguments)
    name, jobs = None, range(1, 2)
    limit, options, own = None, {}, []
    while len(rest) > 1:
        match = re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", rest[0])
        if match and name is None:
            name, first, last = match[1], int(match[2]), int(match[3] or match[2])
            if not 1 <= first <= last:
                raise ValueError(f"invalid job range {rest[0]}")
            jobs = range(first, last + 1)
            del rest[0]
        elif rest[0].startswith("-"):
            option, value = rest[:2]
            words = {"-V": 1, "-pe": 3}.get(option, 2)
            if option in ("--max-jobs-run", "-tc"):
                limit = min(positive(option, value), limit or sys.maxsize)
            elif option.startswith("--"):
                options[option[2:].replace("-", "_")] = value
            else:
                own += rest[:words]
            del rest[:words]
        else:
            break
    if len(rest) < 2:
        program = Path(sys.argv[0]).name
        raise ValueError(f"usage: {program} [options] [JOB=1:n] <log file> <command> …")
    log = rest[0]
    if name and len(jobs) > 1 and name not in log:
        raise ValueError(f"{len(jobs)} jobs cannot share one log file, {log}: put {name} in it")
    command = " ".join(_quoted(word) for word in rest[1:])
    return Call(name, jobs, log, command, limit, options, tuple(own))


def positive(option: str, value: str) -> int:
    """The value of an option that takes a number.

    Raises:
        ValueError: when it is none.
    """
    if not value.isdigit() or int(value) < 1:
        raise ValueError(f"{option} takes a positive integer, not '{value}'")
    return int(value)


def _quoted(word: str) -> str:
    """Quote as `run.pl` does, so that a step means the same with either."""
    if re.fullmatch(r"\S+", word):
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'


def last_lines(log: Path) -> str:
    """The end of what a job printed."""
    lines = log.read_text(errors="replace").splitlines()
    printed = [line for line in lines if not line.startswith(("# Accounting:", "# Ended ("))]
    return "\n".join(printed[-LINES_SHOWN:])


def run_as_program(run: Callable[[Call], list[Path]]) -> None:
    """Run the jobs of the command line; say which failed, by their logs, and exit with status 1.

    Args:
        run: runs the jobs and returns the logs of those that failed.
    """
    name = Path(sys.argv[0]).name
    try:
        call = parse(sys.argv[1:])
        failed = run(call)
    except (ValueError, OSError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    if failed:
        first = min(failed)
        print(f"{name}: {len(failed)} of {len(call.jobs)} jobs failed", file=sys.stderr)
        print(*(f"  log: {log}" for log in failed), sep="\n", file=sys.stderr)
        print(f"Last lines of {first}:\n{last_lines(first)}", file=sys.stderr)
        sys.exit(1)


def exit_on_signals(*numbers: int) -> None:
    """Have signals end the program the way exceptions do."""
    for number in numbers:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
