"""One kind of error for everything a user can mend, and how programs end on it."""

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
        sys.exit(f"ERROR: {error}")
    except PermissionError as error:
        sys.exit(f"ERROR: {error.filename}: no permission: choose another output directory")
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"ERROR: {what}: free some space and run this again", file=sys.stderr, flush=True)
        os._exit(1)  # HDF5 would crash at exit over the file that it could not finish


_DISK_ERRORS = {27, 28, 30, 122}  # EFBIG, ENOSPC, EROFS, EDQUOT
