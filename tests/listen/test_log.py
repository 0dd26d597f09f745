"""corrections.jsonl: nothing acknowledged is lost, nothing damaged is taken."""

import json
import os
import subprocess
import sys
from multiprocessing.dummy import Pool

import pytest
from helpers.faults import SPECIAL, make_special
from helpers.programs import ROOT

from unspeech.cli.errors import UnspeechError
from unspeech.corrections.log import NAME, Log, OutdatedError, read_log

UNDO = {"action": "undo"}


def write(directory, count: int) -> None:
    log = Log(directory)
    log.read_new()
    for number in range(count):
        log.append({"action": "name", "speaker": "u", "name": f"n{number}"}, log.revision)


def test_what_is_written_is_read(tmp_path):
    assert read_log(tmp_path) == ([], 0)
    log = Log(tmp_path)
    assert log.read_new() == []
    assert not (tmp_path / NAME).exists()
    line = log.append({"action": "name", "speaker": "ü", "name": '"<b>'}, 0)
    assert (line["revision"], log.revision) == (1, 1)
    assert read_log(tmp_path) == ([line], 0)
    assert Log(tmp_path).read_new() == [line]
    assert log.read_new() == []


def test_two_writers_do_not_overwrite_each_other(tmp_path):
    first, second = Log(tmp_path), Log(tmp_path)
    first.append(UNDO, 0)
    with pytest.raises(OutdatedError):
        second.append(UNDO, 0)
    assert [action["revision"] for action in second.read_new()] == [1]
    second.append(UNDO, 1)
    with pytest.raises(OutdatedError):
        first.append(UNDO, 1)
    assert len(read_log(tmp_path)[0]) == 2


def test_many_writers_at_once(tmp_path):
    def work(worker: int) -> None:
        log = Log(tmp_path)
        for number in range(10):
            while True:
                log.read_new()
                try:
                    log.append({"action": "undo", "by": [worker, number]}, log.revision)
                    break
                except OutdatedError:
                    continue

    with Pool(4) as pool:
        pool.map(work, range(4))
    actions, _ = read_log(tmp_path)
    assert sorted(action["by"] for action in actions) == [
        [w, n] for w in range(4) for n in range(10)
    ]


@pytest.mark.parametrize("kept", [1, 10, -1])
def test_a_line_that_was_cut_short(tmp_path, kept):
    write(tmp_path, 3)
    content = (tmp_path / NAME).read_bytes()
    lines = content.splitlines(keepends=True)
    (tmp_path / NAME).write_bytes(b"".join(lines[:2]) + lines[2][:kept])
    actions, rest = read_log(tmp_path)
    assert (len(actions), rest) == (2, len(lines[2][:kept]))
    log = Log(tmp_path)
    assert len(log.read_new()) == 2
    log.append(UNDO, 2)
    actions, rest = read_log(tmp_path)
    assert ([action["action"] for action in actions], rest) == (["name", "name", "undo"], 0)


DAMAGE = {
    "no JSON": b"{nonsense\n",
    "a list": b"[1]\n",
    "not UTF-8": b'{"revision":2,"action":"\xff"}\n',
    "an empty line": b"\n",
    "a line missing": b'{"revision":3,"action":"undo"}\n',
    "no action": b'{"revision":2}\n',
    "NUL bytes": bytes(20) + b"\n",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(tmp_path, what):
    write(tmp_path, 1)
    with (tmp_path / NAME).open("ab") as file:
        file.write(DAMAGE[what])
    for read in (read_log, lambda directory: Log(directory).read_new()):
        with pytest.raises(UnspeechError, match=f"{NAME}:2: not correction number 2"):
            read(tmp_path)


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "loop"])
def test_what_is_no_file(tmp_path, kind):
    make_special(tmp_path / NAME, kind)
    with pytest.raises(UnspeechError, match=SPECIAL[kind]):
        read_log(tmp_path)
    with pytest.raises(UnspeechError, match=SPECIAL[kind]):
        Log(tmp_path).read_new()


def test_a_log_that_became_shorter(tmp_path):
    write(tmp_path, 2)
    log = Log(tmp_path)
    log.read_new()
    (tmp_path / NAME).write_bytes(b"")
    with pytest.raises(UnspeechError, match="shorter than it was"):
        log.read_new()


KILLED = """
import sys
from unspeech.corrections.log import Log
log = Log(sys.argv[1])
while True:
    line = log.append({"action": "name", "speaker": "u" * 500, "name": "n"}, log.revision)
    print(line["revision"], flush=True)
"""


@pytest.mark.parametrize("what", ["removed", "replaced"])
def test_a_log_that_nobody_would_find_is_not_written(tmp_path, what):
    log = Log(tmp_path)
    log.append(UNDO, 0)
    other = tmp_path / "other"  # as editors write a file
    other.write_bytes((tmp_path / NAME).read_bytes())
    (tmp_path / NAME).unlink() if what == "removed" else other.replace(tmp_path / NAME)
    for action in (log.read_new, lambda: log.append(UNDO, 1)):
        with pytest.raises(UnspeechError, match="was removed or replaced"):
            action()
    assert len(read_log(tmp_path)[0]) == (what == "replaced")


def test_a_log_that_became_shorter_is_not_filled_up(tmp_path):
    log = Log(tmp_path)
    log.append(UNDO, 0)
    (tmp_path / NAME).open("w").close()
    with pytest.raises(UnspeechError, match="shorter than it was"):
        log.append(UNDO, 1)
    assert (tmp_path / NAME).stat().st_size == 0


def test_killed_writers_lose_nothing_that_was_acknowledged(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        said = [int(process.stdout.readline()) for _ in range(50)]
        process.kill()
        said += [int(line) for line in process.stdout.read().split()]
    actions, _ = read_log(tmp_path)
    assert len(actions) >= said[-1]
    assert [json.dumps(a["revision"]) for a in actions[: said[-1]]] == [str(n) for n in said]


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path):
    write(tmp_path, 2)
    before = (tmp_path / NAME).read_bytes()
    log = Log(tmp_path)
    log.read_new()
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            log.append({"action": "name", "speaker": "u" * 100, "name": "n"}, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / NAME).read_bytes() == before
    log.append(UNDO, 2)
    assert len(read_log(tmp_path)[0]) == 3
