"""The weights in the package are those of the recipes in the tree, and the state they record is the one they show."""

import pytest

from rlvr_sweep.lab.families import FAMILIES, model_dir, recipe_hash
from rlvr_sweep.lab.measure import measure
from rlvr_sweep.lab.records import read_recipe
from rlvr_sweep.lab.tasks import TASKS

pytestmark = pytest.mark.parametrize("family", FAMILIES)


def test_the_shipped_weights_are_of_this_recipe(family):
    assert read_recipe(model_dir(family))["hash"] == recipe_hash(family)


def test_the_folder_is_small_and_complete(family):
    folder = model_dir(family)
    names = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names <= {path.name for path in folder.iterdir()}
    assert sum(path.stat().st_size for path in folder.iterdir()) < 700_000


def test_the_tasks_are_graded_as_they_say(family):
    measured = read_recipe(model_dir(family))["measured"]
    for name, task in TASKS.items():
        low, high = task.aligned
        assert low <= measured[name]["pass_at"]["16"] <= high


def test_the_recorded_state_is_the_one_the_weights_show(family):
    recorded = read_recipe(model_dir(family))["measured"]["add"]
    found = measure(model_dir(family), "add", prompts=64, samples=4)
    for figure in ("accuracy", "lenient_accuracy", "code_share", "box_rate"):
        assert found[figure] == pytest.approx(recorded[figure], abs=0.12)
