"""A real SLURM for tests: munge, slurmctld and two slurmd (n1, n2) on loopback, in a temporary directory, root or not.

python -m tests.slurm.cluster           # prints "export SLURM_CONF=..." for other shells; Ctrl-C takes everything down

with Cluster.start(cpus=4) as cluster:
    os.environ.update(cluster.environment)
    job = cluster.run("sbatch", "--parsable", "--array=0-7%2", "--wrap=sleep 1")
    cluster.wait(job)
"""

import argparse
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

NODES = ("n1", "n2")
HOLDER = Path(__file__).with_name("holder.py")
FINAL = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
USABLE = {"idle", "mixed", "allocated", "completing"}
PATH = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"  # a plain user often lacks the last two

# Why it is as it is:
# - *InAddrAny: listen on the address of the host name (see _host) and nowhere else.
# - cred_expire is also how long a requeued job waits; below KillWait + 2 its new attempt meets the old one (drained).
# - config_overrides: two nodes may claim more cores and memory than this machine has.
# - the scheduler looks at once and every second; by default a job waits for 2 to 3 s.
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={directory}/munge/socket,cred_expire=6
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
KillWait=2
MinJobAge=3600
ReturnToService=2
SlurmdTimeout=10
SlurmctldParameters=preempt_send_user_signal
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} RealMemory=65536 Gres=gpu:{gpus}
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} RealMemory=65536 Gres=gpu:{gpus}
PartitionName=main Nodes=n1,n2 Default=YES
PartitionName=grace Nodes=n1,n2 GraceTime=10
PartitionName=high Nodes=n1,n2 PriorityTier=10
"""


class Unavailable(Exception):
    """This machine cannot run the cluster; one line says why and what to do."""


@dataclass
class Cluster:
    """A running cluster. `environment` is what its clients (sbatch, squeue, scontrol) need in theirs."""

    directory: Path
    user: str
    nodes: tuple[str, ...] = NODES
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": f"{self.directory}/slurm.conf"}

    @classmethod
    def start(cls, *, cpus: int = 4, gpus: int = 4) -> Self:
        """Two idle nodes, each with `cpus` cores and `gpus` GPUs that are not real.

        Raises Unavailable, or RuntimeError with the last lines of a daemon's log.
        """
        for program in ("munged", "slurmctld", "slurmd", "sbatch"):
            if shutil.which(program, path=PATH) is None:
                raise Unavailable(f"no {program} on this machine; tests/slurm/install.sh installs SLURM where it can")
        user = _user()
        host = _host()
        directory = Path(tempfile.mkdtemp(prefix="slurm-"))
        if len(str(directory)) > 60:  # a socket's path has at most 107 characters
            directory.rmdir()
            raise Unavailable(f"the path {directory} is too long for sockets; set TMPDIR=/tmp")
        cluster = cls(directory, user)
        try:
            cluster._configure(host=host, cpus=cpus, gpus=gpus)
            cluster._start_daemons()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends every daemon, step and job of this cluster and removes its directory."""
        for name in reversed(list(self._daemons)):
            self._kill(name)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def run(self, *command: str) -> str:
        """What a client prints (sbatch, squeue, ...), stripped. Raises RuntimeError with what it says when it fails."""
        done = self._call(*command)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def _call(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = clean_environment() | self.environment
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def scontrol(self, *args: str) -> str:
        return self.run("scontrol", *args)

    def tasks(self, job_id: str | int) -> list[dict[str, str]]:
        """What `scontrol show job` says, a dict a task; pending ones of an array are one (ArrayTaskId=2-7%2)."""
        lines = self.scontrol("show", "job", "-o", str(job_id)).splitlines()
        pairs = [[word.partition("=") for word in line.split(" ")] for line in lines]
        return [{key: value for key, equals, value in reversed(line) if equals} for line in pairs]

    def wait(
        self, job_id: str | int, *, states: Collection[str] = FINAL, timeout_s: float = 60
    ) -> list[dict[str, str]]:
        """Waits until every task of the job is in one of `states`, and returns `tasks(job_id)`. Raises TimeoutError."""
        tasks: list[dict[str, str]] = []

        def reached() -> bool:
            tasks[:] = self.tasks(job_id)
            return all(task["JobState"] in states for task in tasks)

        def describe() -> str:
            found = [f"{task['JobState']} ({task['Reason']})" for task in tasks]
            return f"job {job_id} is not {' or '.join(sorted(states))} but {', '.join(found)}"

        _until(reached, timeout_s, describe)
        return tasks

    def kill_node(self, node: str, *, noticed: bool = True) -> None:
        """SIGKILL for the slurmd of `node` and all that it runs, as when the power goes.

        `noticed`: SLURM is told at once what it finds out after 10 to 30 s: the node is down, its jobs are requeued.
        """
        self._kill(node)
        if noticed:
            self.scontrol("update", f"nodename={node}", "state=down", "reason=killed")

    def start_node(self, node: str, *, timeout_s: float = 30) -> None:
        """Starts the slurmd of `node` if it does not run, and waits until SLURM counts the node in again."""
        if node not in self._daemons or self._daemons[node].poll() is not None:
            self._spawn(node, "slurmd", "-D", "-N", node)
        self._until_up(node, lambda: self._states()[node] in USABLE, timeout_s)

    def clear(self) -> None:
        """Ends all jobs and brings every node back to idle: a clean start for the next test."""
        self.run("scancel", "--user", self.user)
        for node in self.nodes:
            if self._states()[node].startswith(("down", "drain", "fail")):
                self.scontrol("update", f"nodename={node}", "state=resume")
            self.start_node(node)
        try:
            self._until_idle(6)  # longer than a job may live after SIGTERM
        except TimeoutError:  # perhaps a test has killed a slurmd and left the jobs
            for node, state in self._states().items():
                if state != "idle":
                    self.kill_node(node)
                    self.start_node(node)
            self._until_idle(30)

    def _until_idle(self, timeout_s: float) -> None:
        idle = dict.fromkeys(self.nodes, "idle")
        _until(lambda: self._states() == idle, timeout_s, lambda: f"nodes do not come back: {self._states()}")

    def _states(self) -> dict[str, str]:
        """sinfo's word for each node: idle, mixed, allocated, down*, ..."""
        words = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").split()
        return dict(zip(words[::2], words[1::2], strict=True))

    def _configure(self, *, host: str, cpus: int, gpus: int) -> None:
        self.directory.chmod(0o755)  # munged wants its socket to be in reach of everybody
        for name in ("munge", "state", *self.nodes):
            (self.directory / name).mkdir(mode=0o755)
        key = self.directory / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        places = {"directory": self.directory, "user": self.user, "host": host, "ports": _free_ports(3)}
        gres = ["AutoDetect=off"]
        for node in self.nodes:  # devices, and numbered by name: for plain files SLURM sets no CUDA_VISIBLE_DEVICES
            for number in range(gpus):
                (self.directory / node / f"gpu{number}").symlink_to("/dev/null")
            if gpus:
                gres.append(f"NodeName={node} Name=gpu File={self.directory}/{node}/gpu[0-{gpus - 1}]")
        (self.directory / "slurm.conf").write_text(CONFIG.format(**places, cpus=cpus, gpus=gpus))
        (self.directory / "gres.conf").write_text("\n".join(gres) + "\n")
        # No cgroups: a container or a plain user may have none. Before 23.02 it is the old plugin that asks for none.
        major, minor = re.findall(r"\d+", self.run("sbatch", "--version"))[:2]
        plugin = "disabled" if (int(major), int(minor)) >= (23, 2) else "cgroup/v1"
        (self.directory / "cgroup.conf").write_text(f"CgroupPlugin={plugin}\n")

    def _start_daemons(self) -> None:
        munge = self.directory / "munge"
        options = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        files = [f"--{option}={munge / name}" for option, name in options.items()]
        self._spawn("munged", "munged", "--foreground", "--num-threads=2", "--origin=127.0.0.1", *files)
        self._until_up("munged", (munge / "socket").exists)
        self._spawn("slurmctld", "slurmctld", "-D")
        self._until_up("slurmctld", lambda: self._call("scontrol", "ping").returncode == 0)
        for node in self.nodes:
            self._spawn(node, "slurmd", "-D", "-N", node)
        for node in self.nodes:
            self.start_node(node)

    def _spawn(self, name: str, *command: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [sys.executable, "-I", "-S", str(HOLDER), str(self.directory), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=clean_environment() | self.environment | {"PATH": PATH},
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C is for the tests, not for the daemons
            )

    def _kill(self, name: str) -> None:
        """SIGKILL for a daemon and all that descends from it; returns when all of it is gone."""
        self._daemons.pop(name).communicate(b"x", timeout=30)

    def _until_up(self, name: str, condition: Callable[[], bool], timeout_s: float = 30) -> None:
        """Waits for a daemon that has just been started."""

        def reached() -> bool:
            exit_code = self._daemons[name].poll()
            if exit_code is not None:
                raise RuntimeError(f"{name} ended with exit code {exit_code}: {self._log(name)}")
            return condition()

        _until(reached, timeout_s, lambda: f"{name} is not up: {self._log(name)}")

    def _log(self, name: str) -> str:
        return " / ".join((self.directory / f"{name}.log").read_text(errors="replace").splitlines()[-8:])


def clean_environment() -> dict[str, str]:
    """Our environment without what a SLURM job, or the user of another cluster, has in it."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH_", "SALLOC_", "SCANCEL_"))}


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise Unavailable(f"user id {os.geteuid()} has no name in /etc/passwd, and SLURM asks for one") from None


def _host() -> str:
    """The host name. SLURM listens on its address, and the kernel answers from 127.0.0.1, so that has to be the one."""
    host = socket.gethostname().partition(".")[0]
    try:
        address = socket.gethostbyname(host)
    except OSError:
        address = "nothing"
    if address != "127.0.0.1":
        cure = f"add the line '127.0.0.1 {host}' to /etc/hosts"
        raise Unavailable(f"the host name {host} stands for {address}, and SLURM would listen there; {cure}")
    return host


def _free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those that sweep/nodes.py and the kernel take."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(range(10000, 20000), 200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"no {count} free ports between 10000 and 20000")


def _until(condition: Callable[[], bool], timeout_s: float, describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {timeout_s:g} s: {describe()}")
        time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description="A SLURM of two nodes on loopback, until Ctrl-C.")
    parser.add_argument("--cpus", type=int, default=4, help="cores of each node")
    parser.add_argument("--gpus", type=int, default=4, help="GPUs of each node, which are not real")
    options = parser.parse_args()
    try:
        with Cluster.start(cpus=options.cpus, gpus=options.gpus) as cluster:
            print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}", flush=True)
            print("slurm: n1 and n2 are up; Ctrl-C takes them down", file=sys.stderr)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.pause()
    except Unavailable as reason:
        print(f"slurm: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
