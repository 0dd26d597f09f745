"""What the tests of shell scripts share."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = ROOT / "steps_unspeech"


def run(*command, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run a command of ours; `environment` is added to the test's."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_bash(script: str, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run lines of bash as a step would: with path.sh sourced, ending on the first error."""
    head = f'set -euo pipefail\n. "{ROOT}/path.sh"\n'
    return run("bash", "-c", head + script, cwd=cwd, **environment)
