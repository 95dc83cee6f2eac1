"""A cell over several nodes: under SLURM one torchrun a node, which meet on the first of them.

    launch([python, "-m", "torch.distributed.run"], ["-m", "rlvr_sweep.train.worker", DIR], nodes=2, cell_id="3f2a")

Static rendezvous, from SLURM's environment: every node knows its number, and none has to guess whether it is the host.
"""

import os
import re
import subprocess

from rlvr_sweep.errors import UserError

FIRST_PORT, PORTS = 20000, 20000


def check(nodes: int) -> None:
    """UserError where this process has no such allocation."""
    have = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    if nodes > have:
        raise UserError(
            f"compute.nodes={nodes}: a cell over several nodes runs under SLURM; write hydra/launcher=slurm"
            if have == 1
            else f"compute.nodes={nodes}: this job has {have} nodes; write compute.nodes={have} or ask for more"
        )


def launch(torchrun: list[str], worker: list[str], *, nodes: int, cell_id: str) -> list[str]:
    """The command that starts `worker` on all nodes of this job; one failing node ends the others."""
    host = _address(_scontrol("show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()[0])
    # Two cells of one job meet at different ports.
    port = FIRST_PORT + (int(os.environ["SLURM_JOB_ID"]) + int(cell_id, 16)) % PORTS
    meeting = ["--nnodes", str(nodes), "--master_addr", host, "--master_port", str(port)]
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):  # srun does not inherit it
        srun.append(f"--cpus-per-task={cpus}")
    # torchrun reads PET_<OPTION>; the number of the node is only known there.
    return [*srun, "bash", "-c", 'PET_NODE_RANK=$SLURM_NODEID exec "$@"', "node", *torchrun, *meeting, *worker]


def _address(node: str) -> str:
    """Where the other nodes reach it; the name alone need not resolve."""
    found = re.search(r"NodeAddr=(\S+)", _scontrol("show", "node", node, "--oneliner"))
    return found[1] if found else node


def _scontrol(*args: str) -> str:
    return subprocess.run(["scontrol", *args], capture_output=True, text=True, check=True).stdout
