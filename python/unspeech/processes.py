"""Children that end with their parents: a step that is killed leaves nothing running.

    python3 -m unspeech.processes <command> [<argument> …]

runs a command and all that it starts, the programs of pipes in `wav.scp` too, and ends them when
the script that called it ends, however; `tied` in jobs.sh.
"""

import signal
import sys

from unspeech.cli.processes import die_with_parent, run_group

if __name__ == "__main__":
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        sys.exit(run_group(sys.argv[1:]))
    except OSError as error:
        sys.exit(f"ERROR: {sys.argv[1]}: {error.strerror}")
