"""The record beside a lab model's weights (recipe.json), and how a rebuilt folder compares with the shipped one.

from rlvr_sweep.lab.records import compare
compare("olmo", "/tmp/lab/olmo")["max_difference"]
"""

import json
from pathlib import Path
from typing import Any

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab.families import model_dir
from rlvr_sweep.lab.tasks import TASKS

FIGURES = ("accuracy", "lenient_accuracy", "code_share", "accuracy_with_code", "accuracy_without_code", "box_rate")


def read_recipe(folder: Path | str) -> dict[str, Any]:
    """The recipe.json of a model folder. UserError where there is none."""
    try:
        return json.loads((Path(folder) / "recipe.json").read_text())
    except FileNotFoundError as error:
        raise UserError(f"no recipe.json in {folder}: make the folder with `python -m rlvr_sweep lab build`") from error


def compare(family: str, built_dir: Path | str) -> dict[str, Any]:
    """How a rebuilt folder compares with the shipped one.

    `same_recipe`, `weights_identical`, `max_difference` (the largest of any weight; None where the sizes differ) and
    `measured`: by task and figure, [shipped, built]. UserError: a folder without recipe.json.
    """
    from safetensors.torch import load_file

    shipped_dir, built_dir = model_dir(family), Path(built_dir)
    shipped, built = read_recipe(shipped_dir), read_recipe(built_dir)
    ours, theirs = load_file(shipped_dir / "model.safetensors"), load_file(built_dir / "model.safetensors")
    paired = {name: tensor.shape for name, tensor in ours.items()} == {name: t.shape for name, t in theirs.items()}
    difference = max(float((tensor - theirs[name]).abs().max()) for name, tensor in ours.items()) if paired else None
    return {
        "same_recipe": shipped["hash"] == built["hash"],
        "weights_identical": difference == 0.0,
        "max_difference": difference,
        "measured": {
            task: {figure: [shipped["measured"][task][figure], built["measured"][task][figure]] for figure in FIGURES}
            for task in TASKS
        },
    }
