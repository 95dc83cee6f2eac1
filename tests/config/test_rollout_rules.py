"""Who generates, and how its rollouts are corrected: what is refused, and what is outside a cell's identity."""

import pytest

from rlvr_sweep.config.compose import compose_or_refuse
from rlvr_sweep.errors import UserError

SERVER = ["compute.backend=vllm_server", "compute.vllm_server=http://127.0.0.1:8000"]
CORRECTED = ["compute.backend=vllm", "estimator.rollout_correction=token_truncate"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (SERVER[:1], "compute.vllm_server: missing; write compute.vllm_server=http://HOST:PORT"),
        (SERVER[1:], "compute.backend=hf asks no server; write compute.backend=vllm_server"),
        ([SERVER[0], "compute.vllm_server=gpu7:8000"], "'gpu7:8000' is no address; write http://HOST:PORT"),
        (["compute=cpu", "compute.backend=vllm"], "compute.backend: vllm generates on the GPUs that train; write "),
        (CORRECTED[1:], "estimator.rollout_correction: corrects for what vLLM computes otherwise"),
        (["estimator.rollout_correction_max=2"], "nothing is corrected, so this could change nothing"),
    ],
)
def test_what_is_refused(lines: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_or_refuse(lines, multirun=False)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_who_generates_is_no_part_of_a_cell_and_how_it_is_corrected_is() -> None:
    def made(*lines: str) -> str:
        return compose_or_refuse(list(lines), multirun=False)[0].cell_id

    assert made() == made("compute.backend=vllm") == made(*SERVER)
    ids = {made(*CORRECTED), made(*CORRECTED, "estimator.rollout_correction_max=2"), made()}
    assert len(ids) == 3


def test_a_correction_is_said_beside_the_numbers() -> None:
    [composed] = compose_or_refuse(CORRECTED, multirun=False)
    assert [line for line in composed.cell.deviations if line.startswith("estimator.rollout_correction=token_truncate")]
