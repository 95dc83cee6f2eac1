"""What Hydra makes of a combination of group choices, before any value is set.

    with initialize_config_dir(str(conf), version_base="1.3"):
        Files(conf).compose(["model=lab/llama"]).nodes["model"]       # an OmegaConf node, interpolations unresolved

and which choices are plain, so that compositions can be shared (grid.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from rlvr_sweep.nearest import nearest

# What composing a user's files may raise: Hydra checks some of their shape with plain ValueErrors and OSErrors.
ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, TypeError, OSError)


def reason(error: Exception) -> str:
    """One line for what Hydra, OmegaConf or YAML raised."""
    if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
        return f"{mark.name}, line {mark.line + 1}: broken YAML ({error.problem}); mend that line"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 ({error.reason} at byte {error.start + 1}); save it as UTF-8"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return f"no choice {choice!r} of {group}; {nearest(choice, error.options or [])}"
    key, text = getattr(error, "full_key", None), (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{key}: {text}" if key else text.replace("override ++", "override ")


@dataclass(frozen=True, eq=False)
class Layer:
    """A combination of choices, composed: its nodes by top-level key, the choices by group, the sweep that its files
    ask for (hydra.sweeper.params), and whether a node may hold an interpolation."""

    nodes: dict[str, Node]
    choices: dict[str, str]
    params: dict[str, Any]
    interpolates: bool


class Files:
    """The configuration files, each combination of choices composed once. Lives for one command, so that a file that
    changes between two is read anew; needs initialized Hydra."""

    def __init__(self, conf: Path, config_dir: Path | None = None) -> None:
        self._roots = [conf, config_dir] if config_dir else [conf]  # Hydra's order: no shipped file is shadowed
        self._search = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []
        self._layers: dict[tuple[str, ...], Layer | Exception] = {}
        self._interpolate: dict[tuple[str, ...], bool] = {}
        self._plain: dict[str, bool] = {}

    def compose(self, lines: Sequence[str]) -> Layer:
        """What Hydra makes of these choices. Raises one of ERRORS."""
        key = tuple(lines)
        if key not in self._layers:
            try:
                config = hydra_compose("config", [*lines, *self._search], return_hydra_config=True)
                self._layers[key] = _layer(config)
            except ERRORS as error:
                self._layers[key] = error
        found = self._layers[key]
        if isinstance(found, Exception):
            raise found
        return found

    def path(self, name: str) -> Path | None:
        """The file behind a name such as "experiment/mine"."""
        places = [root / f"{name}.yaml" for root in self._roots]
        return next((place for place in places if place.is_file()), None)

    def broken(self, choice: Override) -> str | None:
        """Why the file of a choice cannot be read, or None."""
        try:
            self.is_plain(choice)
        except ERRORS as error:
            return f"{choice.key_or_group}={choice.value()}: {reason(error)}"
        return None

    def is_plain(self, choice: Override) -> bool:
        """Whether a choice's file touches its group's node and nothing else, names no other file and interpolates
        nothing. (A word in a comment can make it seem otherwise: that costs time, and nothing else.)"""
        name = f"{choice.key_or_group}/{choice.value()}"
        if name not in self._plain:
            path = self.path(name)
            text = path.read_text() if path else "${"
            loaded = OmegaConf.load(path) if path else None
            self._plain[name] = (
                isinstance(loaded, DictConfig)
                and "defaults" not in loaded
                and not any(word in text for word in ("@package", "${"))
            )
        return self._plain[name]

    def interpolate(self, lines: Sequence[str]) -> bool:
        """Whether a file behind these choices holds an interpolation. Hydra may resolve it while it merges, and then
        one group's node depends on another group's choice. Raises one of ERRORS."""
        key = tuple(lines)
        if key not in self._interpolate:
            loader = GlobalHydra.instance().config_loader()
            found = loader.compute_defaults_list("config", [*lines, *self._search], RunMode.RUN).defaults
            paths = [self.path(str(default.config_path)) for default in found]
            self._interpolate[key] = any("${" in path.read_text() for path in paths if path)
        return self._interpolate[key]


def _layer(config: DictConfig) -> Layer:
    choices, params = config.hydra.runtime.choices, config.hydra.sweeper.params
    suggested = OmegaConf.to_container(params, resolve=True) if OmegaConf.is_config(params) else {}
    assert isinstance(suggested, dict)
    nodes = {}
    for key in config:
        if key != "hydra":
            node = config._get_node(key)
            assert isinstance(node, Node)
            node._set_parent(None)  # frees Hydra's own half
            nodes[str(key)] = node
    return Layer(
        nodes=nodes,
        choices={g: str(c) for g, c in choices.items() if not g.startswith(("hydra", "local")) and c is not None},
        params={str(key): value for key, value in suggested.items()},
        interpolates=any("${" in str(node) for node in nodes.values()),  # as written, unresolved
    )
