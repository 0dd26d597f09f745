"""Queueing systems of one machine for the tests: daemons of their own, in a directory of their own.

Each is started on free ports and ended with the test; what the machine's own may be is not touched.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmdSpoolDir={place}/spool
StateSaveLocation={place}/state
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=0,sched_interval=1
KillWait=1
GresTypes=gpu
NodeName={host} CPUs=4 RealMemory=64000 Gres=gpu:1
PartitionName=test Nodes={host} Default=YES
"""

GRID_ENGINE_LIB = Path("/usr/lib/gridengine")
GRID_ENGINE_SHARE = Path("/usr/share/gridengine")
BOOTSTRAP = """\
admin_user none
default_domain none
ignore_fqdn false
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params {place}/spool
binary_path /usr/sbin
qmaster_spool_dir {place}/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""
QUEUE = """\
qname all.q
hostlist {host}
slots 4
shell /bin/bash
shell_start_mode unix_behavior
seq_no 0
nsuspend 1
suspend_interval 00:05:00
min_cpu_interval 00:05:00
priority 0
processors UNDEFINED
qtype BATCH
pe_list make
rerun FALSE
tmpdir /tmp
initial_state default
notify 00:00:60
"""
GPUS = """\
name gpu
shortcut gpu
type INT
relop <=
requestable YES
consumable YES
default 0
urgency 0
"""
QUEUE_NONE = (
    *("load_thresholds", "suspend_thresholds", "ckpt_list", "prolog", "epilog", "starter_method"),
    *("suspend_method", "resume_method", "terminate_method", "owner_list", "user_lists"),
    *("xuser_lists", "subordinate_list", "complex_values", "projects", "xprojects", "calendar"),
)
QUEUE_LIMITS = ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for(condition, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not start"
        time.sleep(0.1)


@contextmanager
def _daemon(*command, log: Path) -> Iterator[None]:
    with log.open("w") as file:
        process = subprocess.Popen(
            [str(word) for word in command], stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _output(*command) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@contextmanager
def slurm(place: Path) -> Iterator[dict[str, str]]:
    """A Slurm with four CPUs, a GPU in name only, and munge; gives its environment variables."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [program for program in SLURM_PROGRAMS if not shutil.which(program, path=path)]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: Debian's packages slurm-wlm and munge are missing")
    place.chmod(0o755)  # munge wants its socket where all can get
    for name in ("spool", "state"):
        (place / name).mkdir()
    host = socket.gethostname().split(".")[0]
    conf = place / "slurm.conf"
    conf.write_text(
        SLURM_CONF.format(host=host, user=getpass.getuser(), ports=_free_ports(2), place=place)
    )
    (place / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    key = place / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    files = [f"--{name}-file={place}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    with ExitStack() as daemons, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        patch.setenv("SLURM_CONF", str(conf))
        munge = ["munged", "--foreground", "--force", f"--socket={place}/munge.socket", *files]
        daemons.enter_context(_daemon(*munge, log=place / "munged.out"))
        _wait_for((place / "munge.socket").exists, "munged")
        for daemon, *options in (("slurmctld",), ("slurmd", "-N", host)):
            daemons.enter_context(
                _daemon(daemon, "-D", "-f", conf, *options, log=place / f"{daemon}.out")
            )
        _wait_for(lambda: _output("sinfo", "-h", "-o", "%t") == "idle", f"Slurm, see {place};")
        yield {"SLURM_CONF": str(conf), "PATH": path}
        subprocess.run(["scancel", f"--user={getpass.getuser()}"], check=False)


@contextmanager
def grid_engine(place: Path) -> Iterator[dict[str, str]]:
    """A Grid Engine with four slots, a GPU in name only; gives its environment variables."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if not (GRID_ENGINE_LIB / "spoolinit").exists() or not shutil.which("sge_execd", path=path):
        pytest.skip(
            "no Grid Engine: Debian's packages gridengine-master, -exec, -client are missing"
        )
    root, common = place / "root", place / "root/default/common"
    for directory in (common, place / "spool", place / "qmaster/job_scripts", place / "execd"):
        directory.mkdir(parents=True)
    for name in ("bin", "lib", "utilbin"):
        (root / name).symlink_to(f"/var/lib/gridengine/{name}")
    (root / "util").symlink_to(GRID_ENGINE_SHARE / "util")
    host = socket.gethostname()
    ports = _free_ports(2)
    (common / "bootstrap").write_text(BOOTSTRAP.format(place=place))
    (common / "act_qmaster").write_text(f"{host}\n")
    # It does not take a host that is called localhost, which a lonely machine's name often means.
    (common / "host_aliases").write_text(f"{host} localhost\n")
    changed = {
        "execd_spool_dir": str(place / "execd"),
        **{"min_uid": "0", "min_gid": "0", "shell_start_mode": "unix_behavior"},
    }
    default = (GRID_ENGINE_SHARE / "default-configuration").read_text()
    (place / "configuration").write_text(_with_values(default, changed))
    (place / "queue").write_text(
        QUEUE.format(host=host)
        + "".join(f"{name} NONE\n" for name in QUEUE_NONE)
        + "".join(f"s_{name} INFINITY\nh_{name} INFINITY\n" for name in QUEUE_LIMITS)
    )
    shutil.copytree(GRID_ENGINE_SHARE / "util/resources/centry", place / "resources")
    (place / "resources/gpu").write_text(GPUS)
    environment = {
        "PATH": path,
        **{"SGE_ROOT": str(root), "SGE_CELL": "default"},
        **{"SGE_QMASTER_PORT": str(ports[0]), "SGE_EXECD_PORT": str(ports[1])},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        defaults = [
            ("configuration", place / "configuration"),
            ("complexes", place / "resources"),
            ("usersets", GRID_ENGINE_SHARE / "util/resources/usersets"),
            ("managers", getpass.getuser()),
        ]
        lib = GRID_ENGINE_LIB
        subprocess.run(
            [lib / "spoolinit", "berkeleydb", "libspoolb", place / "spool", "init"], check=True
        )
        for what, source in defaults:
            subprocess.run([lib / "spooldefaults", what, source], check=True)
        try:
            _start("sge_qmaster", place)
            _wait_for(lambda: _output("qconf", "-sh") == host, "sge_qmaster")
            subprocess.run(["qconf", "-as", host], check=True)
            subprocess.run(["qconf", "-Aq", place / "queue"], check=True)
            quick = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
            schedule = _with_values(_output("qconf", "-ssconf"), quick)
            (place / "schedule").write_text(schedule)
            subprocess.run(["qconf", "-Msconf", place / "schedule"], check=True)
            _start("sge_execd", place)
            gpu = ["exechost", "complex_values", "gpu=1", host]
            _wait_for(lambda: host in _output("qconf", "-sel"), "sge_execd")
            subprocess.run(["qconf", "-aattr", *gpu], check=True)
            yield environment
        finally:
            for pid in _of_place(place):
                os.kill(pid, signal.SIGKILL)


def _with_values(table: str, changed: dict[str, str]) -> str:
    """Lines of names and values, with other values for some names."""
    pairs = (line.split(None, 1) for line in table.splitlines() if not line.startswith("#"))
    return "".join(f"{name} {changed.get(name, value)}\n" for name, value in pairs)


def _start(daemon: str, place: Path) -> None:
    # It goes on in a process of its own, which is found again by its environment.
    subprocess.run([daemon], check=True, cwd=place, stdout=subprocess.DEVNULL)


def _of_place(place: Path) -> list[int]:
    """Processes of a Grid Engine: its daemons and what they have started."""
    mark = f"SGE_ROOT={place}/root\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith("sge_") and mark in (
                process / "environ"
            ).read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found
