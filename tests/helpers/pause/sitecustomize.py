"""Stops a program just before it writes a certain file, for tests that kill programs.

Python imports this module at its start when its folder is on PYTHONPATH, see `paused` in
`shell.py`. PAUSE_AT is a pattern of the file's path, PAUSE_NUMBER counts the times that a file like
it is opened for writing or gets its name. The program goes on once the file PAUSED, which it makes
then, is removed.
"""

import fnmatch
import os
import sys
import time

_WRITING = os.O_WRONLY | os.O_RDWR
_left = int(os.environ.get("PAUSE_NUMBER", "0"))


def _pause(event: str, arguments: tuple) -> None:
    global _left
    if event == "os.rename":
        path = arguments[1]
    elif event == "open" and (arguments[2] or 0) & _WRITING:
        path = arguments[0]
    else:
        return
    if not isinstance(path, str | os.PathLike) or not _left:
        return
    if not fnmatch.fnmatch(os.path.abspath(path), os.environ["PAUSE_AT"]):
        return
    _left -= 1
    if _left == 0:
        flag = os.environ["PAUSED"]
        os.close(os.open(flag, os.O_CREAT | os.O_WRONLY))
        while os.path.exists(flag):
            time.sleep(0.01)


if _left:
    sys.addaudithook(_pause)
