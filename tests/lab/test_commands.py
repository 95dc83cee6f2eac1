"""The verb `lab`: the table, the rebuilt folder, and the shipped weights that nothing overwrites unasked."""

import os
import subprocess
import sys

import pytest

from rlvr_sweep.errors import UserError
from rlvr_sweep.lab import commands
from rlvr_sweep.lab.families import FAMILIES, MODELS, model_dir
from rlvr_sweep.lab.records import read_recipe


def test_the_table_shows_what_the_recipes_record(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert commands.main([]) == 0
    out = capsys.readouterr().out
    for family in FAMILIES:
        assert family in out
    assert "…" not in out
    for family in FAMILIES:
        assert f"{read_recipe(model_dir(family))['measured']['add']['accuracy']:.2f}" in out


def test_a_folder_is_rebuilt_and_compared(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    assert commands.main(["build", "olmo", "--out", str(tmp_path), "--steps", "2", "--prompts", "2"]) == 0
    out = capsys.readouterr().out
    assert "another recipe" in out
    assert "weights differ by at most" in out
    assert read_recipe(tmp_path / "olmo")["settings"]["schedule"]["steps"] == 2


def test_shipped_weights_are_not_replaced_unasked():
    before = (model_dir("olmo") / "model.safetensors").read_bytes()
    with pytest.raises(UserError, match=r"the shipped weights.*--force"):
        commands.main(["build", "olmo", "--out", str(MODELS), "--steps", "2"])
    assert (model_dir("olmo") / "model.safetensors").read_bytes() == before


def test_a_folder_with_files_is_refused_before_any_work(tmp_path):
    (tmp_path / "qwen").mkdir()
    (tmp_path / "qwen" / "mine.txt").write_text("keep me")
    with pytest.raises(UserError, match="a folder with files in it"):
        commands.main(["build", "olmo", "qwen", "--out", str(tmp_path), "--steps", "2"])
    assert not (tmp_path / "olmo").exists()


def test_an_unknown_family_is_told_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'llama'"):
        commands.main(["build", "lama"])


def test_help_and_the_light_modules_import_no_torch():
    code = (
        "import sys\nfrom rlvr_sweep.lab import commands, tasks, families, measure, pretraining\n"
        "families.recipe_hash('olmo'); tasks.rows('add', split='test', count=2)\n"
        "try: commands.main(['build', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    assert "--force" in done.stdout
