"""What tests of sweeps build on: this SLURM runs, throttles, requeues, preempts, loses nodes, and leaves nothing.

make test-slurm ARGS='-k test_cluster --durations=0'
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.slurm import cluster as cluster_module
from tests.slurm.cluster import Cluster, Unavailable

pytestmark = pytest.mark.slurm

# A job that writes its attempt, each signal and the time into its log, and ends at TERM only.
ATTENTIVE = """\
note() { echo "$1 $(date +%s.%N)"; }
trap 'note USR1' USR1
trap 'note TERM; exit 143' TERM
note "attempt ${SLURM_RESTART_COUNT:-0} pid $$"
while :; do sleep 0.1; done
"""


@pytest.fixture
def submit(slurm: Cluster, tmp_path: Path) -> Callable[..., str]:
    """submit("--array=0-3", script="hostname") -> the job's id; its tasks write to one log (see `lines`)."""

    def submitted(*args: str, script: str) -> str:
        files = [f"--output={tmp_path}/%A.log", "--error=/dev/null", "--open-mode=append", f"--chdir={tmp_path}"]
        return slurm.run("sbatch", "--parsable", *files, *args, f"--wrap={script}")

    return submitted


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[str], list[list[str]]]:
    """lines(job) -> what its tasks have written, in words."""

    def read(job: str) -> list[list[str]]:
        path = tmp_path / f"{job}.log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    return read


def until(condition: Callable[[], object], *, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain"
        time.sleep(0.05)


def attempts(words: list[list[str]]) -> list[str]:
    return [line[1] for line in words if line[0] == "attempt"]


@pytest.mark.parametrize("node", ["n1", "n2"])
def test_a_job_runs_on_each_node_with_the_gpus_it_asked_for(slurm, submit, lines, node):
    job = submit("-w", node, "--gres=gpu:2", script="echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES")
    (task,) = slurm.wait(job)
    assert (task["JobState"], task["ExitCode"]) == ("COMPLETED", "0:0")
    assert lines(job) == [[node, "0,1"]]


def test_a_throttled_array_never_runs_three_at_once(slurm, submit, lines):
    job = submit("--array=0-5%2", script="echo $(date +%s.%N) 1; sleep 0.7; echo $(date +%s.%N) -1")
    tasks = slurm.wait(job)
    assert sorted(int(task["ArrayTaskId"]) for task in tasks) == list(range(6))
    running, most = 0, 0
    for _, change in sorted((float(when), int(change)) for when, change in lines(job)):
        running += change
        most = max(most, running)
    assert (running, most) == (0, 2)


def test_a_requeued_job_runs_again(slurm, submit, lines):
    job = submit(script=ATTENTIVE)
    until(lambda: attempts(lines(job)) == ["0"])
    slurm.scontrol("requeue", job)
    until(lambda: attempts(lines(job)) == ["0", "1"])
    assert slurm.tasks(job)[0]["Restarts"] == "1"
    assert [line[0] for line in lines(job)] == ["attempt", "TERM", "attempt"]


@pytest.mark.parametrize(("partition", "grace_s"), [("main", 0), ("grace", 10)])
def test_a_preempted_job_is_signalled_and_comes_back(slurm, submit, lines, partition, grace_s):
    whole_node = ("-w", "n1", "--exclusive")
    low = submit(*whole_node, "-p", partition, "--signal=B:USR1@60", script=ATTENTIVE)
    until(lambda: attempts(lines(low)) == ["0"])
    high = submit(*whole_node, "-p", "high", script="echo high")
    slurm.wait(high)
    until(lambda: attempts(lines(low)) == ["0", "1"])
    words = lines(low)
    assert [line[0] for line in words] == ["attempt", "USR1", "TERM", "attempt"]
    noticed = float(words[2][1]) - float(words[1][1])
    assert grace_s - 1 < noticed < grace_s + 10  # SLURM counts whole seconds of its own
    assert slurm.tasks(low)[0]["Restarts"] == "1"


def test_a_node_set_down_requeues_its_job(slurm, submit, lines):
    job = submit("-w", "n2", script=ATTENTIVE)
    until(lambda: attempts(lines(job)) == ["0"])
    slurm.scontrol("update", "nodename=n2", "state=down", "reason=test")
    slurm.wait(job, states={"PENDING"})
    until(lambda: attempts(lines(job)) == ["0", "1"])


def test_a_killed_node_takes_its_job_along_and_runs_it_again_when_it_is_back(slurm, submit, lines):
    job = submit("-w", "n2", script=ATTENTIVE)
    until(lambda: attempts(lines(job)) == ["0"])
    pid = int(lines(job)[0][3])
    assert start_time(pid) is not None
    slurm.kill_node("n2")
    assert start_time(pid) is None
    slurm.start_node("n2")
    until(lambda: attempts(lines(job)) == ["0", "1"])
    assert [line[0] for line in lines(job)] == ["attempt", "attempt"]  # no power cut sends a signal


def test_everything_listens_on_loopback_only(slurm, submit, lines):
    job = submit("-N2", script="srun --label echo $SLURM_JOB_ID; srun sleep 30")
    with subprocess.Popen(["srun", "sleep", "30"]) as client:
        try:
            until(lambda: slurm.run("squeue", "-h", "--steps", "-o", "%j").split().count("sleep") == 2)
            listening = listeners(descendants(os.getpid()))
        finally:
            client.kill()
    assert sorted(lines(job)) == [["0:", job], ["1:", job]]  # srun reaches both nodes
    assert len(listening) >= 5, listening  # slurmctld, two slurmd, and each srun at least once
    assert not [address for address in listening if not address.startswith("127.")]


def test_nothing_is_left_after_a_stop(slurm):
    others = processes(descendants(os.getpid()))
    second = Cluster.start(cpus=2, gpus=1)  # beside the first one
    with second:
        job = second.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=setsid env -i sleep 1000 & sleep 1000")
        second.wait(job, states={"RUNNING"})
        until(lambda: "sleep" in names(descendants(os.getpid())))
        ours = processes(descendants(os.getpid())) - others
        assert {"munged", "slurmctld", "slurmd", "slurmstepd", "sleep"} <= names(pid for pid, _ in ours)
    assert not [pid for pid, began in ours if start_time(pid) == began]
    assert not second.directory.exists()
    slurm.scontrol("ping")  # and the first one is as it was


def test_nothing_is_left_after_a_kill(slurm):
    command = [sys.executable, "-m", "tests.slurm.cluster"]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert owner.stdout is not None
    config = Path(owner.stdout.readline().strip().removeprefix("export SLURM_CONF="))
    ours = processes(descendants(owner.pid))
    assert {"munged", "slurmctld", "slurmd"} <= names(pid for pid, _ in ours)
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    until(lambda: not [pid for pid, began in ours if start_time(pid) == began])
    until(lambda: not config.parent.exists(), timeout_s=5)


def test_a_machine_without_slurm_is_told_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster_module, "PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"no munged on this machine; tests/slurm/install.sh"):
        Cluster.start()


def test_a_host_name_that_leads_outside_is_refused(slurm, monkeypatch):
    monkeypatch.setattr("socket.gethostbyname", lambda host: "10.0.0.5")
    with pytest.raises(Unavailable, match=r"stands for 10.0.0.5, .* /etc/hosts"):
        Cluster.start()


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, from state on; none of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def start_time(pid: int) -> str | None:
    fields = stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None


def processes(pids: Iterable[int]) -> set[tuple[int, str]]:
    return {(pid, began) for pid in pids if (began := start_time(pid)) is not None}


def names(pids: Iterable[int]) -> set[str]:
    found = set()
    for pid in pids:
        try:
            found.add(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0].split(":")[0].split("/")[-1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(root: int) -> set[int]:
    parents = {int(pid): stat(int(pid)) for pid in os.listdir("/proc") if pid.isdigit()}
    found, new = set(), {root}
    while new:
        new = {pid for pid, fields in parents.items() if fields and int(fields[1]) in new}
        found |= new
    return found


def listeners(pids: Iterable[int]) -> list[str]:
    """The addresses on which these processes take TCP connections."""
    sockets = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(os.readlink(handle))
            except FileNotFoundError:
                continue
    addresses = []
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                digits = fields[1].partition(":")[0]
                plain = ".".join(str(byte) for byte in reversed(bytes.fromhex(digits)))
                addresses.append(plain if table == "tcp" else f"[{digits}]")
    return addresses
