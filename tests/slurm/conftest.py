"""One SLURM a test process: up with the first test that asks for the fixture `slurm`, idle after each.

make test-slurm ARGS='-k throttled'
"""

import os
from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster, Unavailable, clean_environment


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """Two nodes of 4 cores and 4 GPUs that are not real; SLURM_CONF is set, so that sbatch and squeue find them."""
    try:
        cluster = Cluster.start(cpus=4, gpus=4)
    except Unavailable as reason:
        pytest.skip(f"no SLURM: {reason}")
    with cluster, pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(clean_environment()):
            patch.delenv(name)
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        yield cluster


@pytest.fixture(autouse=True)
def idle_afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that fails must not leave its jobs to the next one."""
    cluster = request.getfixturevalue("slurm") if "slurm" in request.fixturenames else None
    yield
    if cluster is not None:
        cluster.clear()
