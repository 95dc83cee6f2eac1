"""What rlvr_sweep imports is what pyproject.toml requires, not what another package happens to bring."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]


def imported() -> dict[str, str]:
    """Top-level module -> a file of the package that imports it, anywhere in the file."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "rlvr_sweep").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            found.update({name.split(".")[0]: str(path.relative_to(ROOT)) for name in names})
    return found


def test_every_import_is_a_requirement() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    required = {canonicalize_name(Requirement(line).name) for line in lines}
    distributions = packages_distributions()
    undeclared = {
        name: path
        for name, path in imported().items()
        if name not in sys.stdlib_module_names
        and name != "rlvr_sweep"
        and not {canonicalize_name(each) for each in distributions.get(name, [name])} & required
    }
    assert not undeclared
