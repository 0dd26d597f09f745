"""A step of several jobs, for tests of runners and queues."""

from pathlib import Path

from helpers.shell import ROOT, run, write_script


def step_of_three_jobs(place: Path, cmd: str, program: str) -> Path:
    """A step of three jobs, each of which runs a line of shell, in a directory of its own."""
    (place / "in.1.scp").write_text("a 1\n")
    for job in (2, 3):
        (place / f"in.{job}.scp").write_text(f"b {job}\n")
    write_script(place / "job.sh", f"#!/usr/bin/env bash\nset -eu\n{program}\n")
    write_script(
        place / "step.sh",
        f"""#!/usr/bin/env bash
set -euo pipefail
. "{ROOT}/path.sh"
mkdir -p out/q out/q/sync
begin_step out/x -- in.1.scp
{cmd} JOB=1:3 out/log/x.JOB.log job.sh once.py out/x JOB in.JOB.scp ./job.sh JOB
touch out/x
finish_step out/x
""",
    )
    return place / "step.sh"


def check_a_failure_and_what_is_left(place: Path, cmd: str) -> None:
    """A job that fails once fails the step by its log's name; then only this job is done again."""
    program = 'echo "job $1" >> ran.$1; [ "$1" != 2 ] || [ -e mended ] || { echo no luck; exit 3; }'
    script = step_of_three_jobs(place, cmd, program)
    failed = run(script, cwd=place)
    assert failed.returncode != 0
    assert not (place / "out/x").exists()
    assert "out/log/x" in failed.stderr, failed.stderr
    assert "no luck" in (place / "out/log/x.2.log").read_text()
    (place / "mended").touch()
    again = run(script, cwd=place)
    assert again.returncode == 0, again.stderr
    ran = [(place / f"ran.{job}").read_text() for job in (1, 2, 3)]
    assert ran == ["job 1\n", "job 2\njob 2\n", "job 3\n"]
    assert "Done before" in (place / "out/log/x.1.log").read_text()
