"""The cells of a grid as plain dictionaries, exact and fast: Hydra composes each group choice once.

    spans, faults = read_spans(Files(conf), overrides, judge, multirun=True)
    for draft in spans[0].drafts(): draft.lines, draft.config

A plain choice's node is the same whatever the other groups choose, so one composition (60 to 100 ms) serves a new
choice of every group. Files that reach further, or interpolate, are composed for each combination.
"""

import copy
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl  # hydra-core is pinned below 1.4
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from omegaconf import Node, OmegaConf, flag_override

from rlvr_sweep.config.layers import ERRORS, Files, Layer, reason
from rlvr_sweep.config.overrides import LAUNCHER, Judged, count, is_choice


def shown(override: Override) -> str:
    """An override as its user wrote it."""
    return (override.input_line or "").lstrip("+")


def _choice(override: Override) -> str:
    """A choice as Hydra takes it: it knows no null, but lets a group's choice be taken away."""
    return shown(override) if override.value() is not None else f"~{override.key_or_group}"


@dataclass(frozen=True)
class Axis:
    """An override line and the values it spans; the one value where it is no sweep."""

    override: Override

    @property
    def key(self) -> str:
        return self.override.key_or_group

    @cached_property
    def count(self) -> int:
        return count(self.override)

    @cached_property
    def first(self) -> Override:
        """The first value, without making the others."""
        value = self.override.value()
        return self._parse(str(value.start)) if isinstance(value, RangeSweep) else self.values[0]

    @cached_property
    def values(self) -> list[Override]:
        """One override a value."""
        if not self.override.is_sweep_override():
            return [self.override]
        return [self._parse(text) for text in self.override.sweep_string_iterator()]

    def _parse(self, value: str) -> Override:
        return OverridesParser.create().parse_override(f"{self.override.get_key_element()}={value}")


@dataclass(frozen=True)
class Draft:
    """A cell before it is judged: its lines, by key those that vary in its grid, and its dictionary or a fault."""

    lines: tuple[str, ...]
    varying: dict[str, str]
    config: dict[str, Any]
    fault: str | None = None


class Span:
    """The product of override lines, the last one fastest. `also` are keys that vary between this span and others."""

    def __init__(self, files: Files, overrides: Sequence[Override], *, also: Collection[str] = ()) -> None:
        self._files, self._also = files, also
        self.axes = [Axis(override) for override in overrides]
        self._groups = [axis for axis in self.axes if is_choice(axis.override)]
        self._layers: dict[tuple[str, ...], Layer] = {}
        self._values: dict[tuple[str, int, tuple[str, ...]], Any] = {}

    @property
    def count(self) -> int:
        """How many cells, without making them."""
        return math.prod(axis.count for axis in self.axes)

    def first(self) -> dict[str, Any]:
        """The dictionary of the first cell, without making the others. Raises one of ERRORS."""
        values = [axis.first for axis in self.axes if not is_choice(axis.override)]
        return _set(self.first_layer().nodes, values)

    def first_layer(self) -> Layer:
        """What the first choices compose to. Raises one of ERRORS."""
        return self._files.compose([_choice(axis.first) for axis in self._groups])

    def drafts(self) -> Iterator[Draft]:
        """Every cell."""
        for picked in itertools.product(*(axis.values for axis in self.axes)):
            lines = tuple(map(shown, picked))
            varying = {
                axis.key: line
                for axis, line in zip(self.axes, lines, strict=True)
                if axis.count > 1 or axis.key in self._also
            }
            try:
                layer = self._layer([override for override in picked if is_choice(override)])
                config = self._config(layer, [override for override in picked if not is_choice(override)])
            except ERRORS as error:
                yield Draft(lines, varying, {}, fault=reason(error))
            else:
                yield Draft(lines, varying, config | {"choices": layer.choices})

    def _layer(self, picked: list[Override]) -> Layer:
        key = tuple(map(shown, picked))
        if key not in self._layers:
            self._layers[key] = self._combined(picked)
        return self._layers[key]

    def _combined(self, picked: list[Override]) -> Layer:
        """The layer of a combination of choices. Row n of the shared compositions has the n-th plain choice of each
        group; the others, an experiment say, stay as picked."""
        lines = [_choice(override) for override in picked]
        plain = {
            number: self._plain_lines(axis)
            for number, (axis, override) in enumerate(zip(self._groups, picked, strict=True))
            if axis.count > 1 and self._files.is_plain(override)
        }

        def shared(row: int) -> Layer:
            chosen = {number: of_axis[min(row, len(of_axis) - 1)] for number, of_axis in plain.items()}
            return self._files.compose([chosen.get(number, line) for number, line in enumerate(lines)])

        start = [plain[number][0] if number in plain else line for number, line in enumerate(lines)]
        if len(plain) < 2 or self._files.interpolate(start):
            return self._files.compose(lines)
        base = shared(0)
        nodes, choices = dict(base.nodes), dict(base.choices)
        for number, of_axis in plain.items():
            group, served = self._groups[number].key, shared(of_axis.index(lines[number]))
            nodes[group], choices[group] = served.nodes[group], served.choices[group]
        return Layer(nodes, choices, base.params, interpolates=False)

    def _plain_lines(self, axis: Axis) -> list[str]:
        return [_choice(override) for override in axis.values if self._files.is_plain(override)]

    def _config(self, layer: Layer, values: list[Override]) -> dict[str, Any]:
        """The layer with values set: node by node, each result kept, unless an interpolation ties nodes together."""
        if layer.interpolates or any("${" in str(override.value()) for override in values):
            return _set(layer.nodes, values)
        by_node: dict[str, list[Override]] = {key: [] for key in layer.nodes}
        for override in values:
            by_node.setdefault(_top(override), []).append(override)
        return {key: self._value(key, layer.nodes.get(key), overrides) for key, overrides in by_node.items()}

    def _value(self, key: str, node: Node | None, overrides: list[Override]) -> Any:
        """A node with the values that touch it. (The layers keep the nodes alive, so that an id stays one node's.)"""
        known = (key, id(node), tuple(map(shown, overrides)))
        if known not in self._values:
            self._values[known] = _set({} if node is None else {key: node}, overrides)[key]
        return self._values[known]


def _top(override: Override) -> str:
    return re.split(r"[.\[]", override.key_or_group, maxsplit=1)[0]


def _set(nodes: Mapping[str, Node], overrides: Sequence[Override]) -> dict[str, Any]:
    """The nodes with values set as Hydra sets them, in their order, and then resolved; `nodes` stay as they are."""
    touched, root = {_top(override) for override in overrides}, OmegaConf.create({})
    with flag_override(root, "no_deepcopy_set_nodes", True):
        for key, node in nodes.items():
            root[key] = copy.deepcopy(node) if key in touched else node
    OmegaConf.set_struct(root, True)
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), root)
    config = OmegaConf.to_container(root, resolve=True)
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def read_spans(
    files: Files, overrides: Sequence[Override], judge: Callable[[list[str]], Judged], *, multirun: bool
) -> tuple[list[Span], list[str]]:
    """One span for each experiment, and what is wrong.

    In front of the command's own lines stand those of the experiment (hydra.sweeper.params) for keys that the command
    does not give; `judge` judges them. Without `multirun` they may not span several cells.
    """
    if faults := _broken(files, overrides):
        return [], faults
    experiment = next((override for override in overrides if override.key_or_group == "experiment"), None)
    experiments, spans = Axis(experiment).values if experiment else [None], []
    for chosen in experiments:
        own = [chosen if chosen and override is experiment else override for override in overrides]
        name, also = shown(chosen) if chosen else "conf", ["experiment"] if len(experiments) > 1 else []
        span = Span(files, own, also=also)
        try:
            params = span.first_layer().params
        except ERRORS as error:
            faults.append(f"{name}: {reason(error)}")
            continue
        if params:
            more, found = _suggested(params, files, judge, given={override.key_or_group for override in own})
            faults += [f"{files.path(name.replace('=', '/')) or name}: {fault}" for fault in found]
            span = Span(files, [*more, *own], also=also)
        if not multirun and span.count > 1:
            faults.append(f"{name}: spans {span.count:,} cells; add -m")
        else:
            spans.append(span)
    return spans, faults


def _broken(files: Files, overrides: Sequence[Override]) -> list[str]:
    choices = [value for override in overrides if is_choice(override) for value in Axis(override).values]
    return [fault for choice in choices if (fault := files.broken(choice))]


def _suggested(
    params: Mapping[str, Any], files: Files, judge: Callable[[list[str]], Judged], *, given: Collection[str]
) -> tuple[list[Override], list[str]]:
    """The lines of an experiment for keys that are not `given`, and what is wrong with any of its lines."""
    judged = judge([f"{key}={'null' if value is None else value}" for key, value in params.items()])
    if judged.launcher:
        judged.faults.append(f"{LAUNCHER}={judged.launcher}: belongs on the command line; write it there")
    if broken := _broken(files, judged.good):
        return [], judged.faults + broken
    return [override for override in judged.good if override.key_or_group not in given], judged.faults
