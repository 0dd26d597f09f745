"""One kind of error for everything a user can mend, and how programs end on it."""

import errno
import os
import sys
from collections.abc import Callable


class UnspeechError(Exception):
    """Bad input or settings. The message names the file and utterance and says what to do."""


def run_program(main: Callable[[], None]) -> None:
    """Run a program's main(): exit status 1 and one line on stderr for what a user can mend.

    Any other exception is a defect of ours and keeps its traceback.
    """
    try:
        main()
    except UnspeechError as error:
        sys.exit(f"ERROR: {' '.join(str(error).split(_LINE_END))}")
    except OSError as error:
        name = error.filename if error.filename2 is None else error.filename2
        what = f"{name}: {error.strerror}" if name else str(error)
        if error.errno not in _DISK_ERRORS:
            if not name:
                raise
            sys.exit(f"ERROR: {what}; correct the path, or its permissions")
        print(f"ERROR: {what}: free some space and run this again", file=sys.stderr, flush=True)
        os._exit(1)  # HDF5 would crash at exit over the file that it could not finish


_LINE_END = "\n"
_DISK_ERRORS = {errno.EFBIG, errno.ENOSPC, errno.EROFS, errno.EDQUOT}
