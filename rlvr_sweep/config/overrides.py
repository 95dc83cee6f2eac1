"""The override lines of a command, judged before Hydra sees them: unknown keys and choices, secrets, grammar.

    judge(["model=lab/lama", "sead=1"], conf) -> Judged(good=[], faults=["model=lab/lama: ...", "sead=1: ..."])

Hydra answers a typo with "use +sead=1", which would make it silent. Here a key that is no key of a cell is refused,
also behind a plus, with the nearest known one; a known key may always be set, whether the chosen files
mention it or not. Of two lines for one key the last counts.
"""

import math
import re
import shlex
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.errors import HydraException

from rlvr_sweep.config.keys import is_known, known_keys
from rlvr_sweep.config.tree import groups
from rlvr_sweep.nearest import nearest

SECRET = re.compile(r"(api[_-]?key|token$|secret|password|passwd|credential)", re.IGNORECASE)
SECRET_VALUE = re.compile(r"^(hf_[A-Za-z0-9]{20,}|wandb_v1_\S{20,}|local-[0-9a-f]{30,}|[0-9a-f]{40})$")
LAUNCHER = "hydra/launcher"
LAUNCHERS = ("local", "plan", "slurm")


@dataclass
class Judged:
    """Overrides Hydra may see, the launcher they name, what is wrong with the others, and the groups that lack their
    choice for it: what else is said of those would mislead."""

    good: list[Override] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    launcher: str | None = None
    spoiled: set[str] = field(default_factory=set)


def is_choice(override: Override) -> bool:
    """Whether a judged override names a group's choice; the others set values."""
    return not override.is_force_add()


def count(override: Override) -> int:
    """How many values a line spans, without making them: range(0,1000000000) would fill the memory."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if not isinstance(value, RangeSweep):
        return 1
    assert value.start is not None and value.stop is not None
    numbers = (value.start, value.stop, value.step)
    if not all(map(math.isfinite, numbers)) or value.step == 0:
        return 0
    start, stop, step = map(Decimal, numbers)
    return max(0, math.ceil((stop - start) / step))


def _masked(text: str) -> str:
    return text.split("=", 1)[0] + "=***"


def _secret_fault(text: str) -> str | None:
    key, _, value = text.partition("=")
    is_revision = key.endswith("revision")  # a commit is 40 hex digits too
    if SECRET.search(key) or (not is_revision and SECRET_VALUE.match(value.strip("'\""))):
        return (
            f"{_masked(text)}: looks like a secret, and a command line is no place for one "
            "(shells, logs and W&B keep it); "
            "set it in the environment (WANDB_API_KEY, HF_TOKEN) or run `wandb login`"
        )
    return None


def _choices(override: Override) -> list[str]:
    """The group choices an override names, several in a sweep."""
    if override.is_choice_sweep():
        return [str(element) for element in override.sweep_string_iterator()]
    value = override.value()
    values = value if isinstance(value, list) else [value]
    return ["null" if v is None else str(v) for v in values]


def _choice_faults(override: Override, options: tuple[str, ...]) -> list[str]:
    group = override.key_or_group
    if override.is_sweep_override() and not override.is_choice_sweep():
        return [f"{override.input_line}: a choice is a name; write {group}=A,B or {group}=glob(PATTERN)"]
    legal = {*options, "null"} if group in ("debug", "experiment") else set(options)
    found = []
    for choice in _choices(override):
        choice = {"True": "on", "False": "off"}.get(choice, choice.strip("'\""))  # YAML reads on and off as booleans
        if choice not in legal:
            listed = nearest(choice, legal) if options else "there are none"
            found.append(f"{group}={choice}: unknown choice; {listed}")
    return found


def _prefixed(override: Override) -> str:
    """`++key=value` sets a key whether the chosen files mention it or not."""
    line = override.input_line or ""
    return "++" + line.lstrip("+")


def _value_fault(override: Override) -> str | None:
    """What is wrong with a sweep of values, or a mapping that would change nothing."""
    line, key = override.input_line, override.key_or_group
    if override.value() == {}:
        return f"{line}: an empty mapping changes nothing (mappings are merged); write its keys"
    if isinstance(override.value(), Glob):
        return f"{line}: a glob picks choices of a group, and {key} is a value; write {key}=A,B or {key}=range(0,8)"
    if override.is_interval_sweep():
        return f"{line}: an interval has no end of values; write {key}=A,B or {key}=range(START,STOP,STEP)"
    if count(override) == 0:
        return f"{line}: spans no value; write {key}=range(START,STOP,STEP) with STOP beyond START"
    return None


def _judge_choice(override: Override, options: tuple[str, ...], judged: Judged) -> None:
    line, glob = (override.input_line or "").lstrip("+"), override.value()
    if override.package is not None:
        group, _, choice = override.key_or_group, *line.partition("=")[1:]
        found = [f"{line}: a group's choice has one place; write {group}={choice}"]
    elif isinstance(glob, Glob):
        matches = glob.filter(sorted(set(options)))
        found = [] if matches else [f"{line}: no choice matches; write one of {', '.join(sorted(options))}"]
        line = f"{override.key_or_group}={','.join(matches)}"
    else:
        found = _choice_faults(override, options)
    judged.faults += found
    if found:
        judged.spoiled.add(override.key_or_group)
    else:
        judged.good.append(OverridesParser.create().parse_override(line))


def _judge_launcher(override: Override, judged: Judged) -> None:
    line = override.input_line
    if override.is_sweep_override():
        judged.faults.append(f"{line}: one launcher takes all cells; write {LAUNCHER}={LAUNCHERS[0]}")
    elif override.value() not in LAUNCHERS:
        judged.faults.append(f"{line}: unknown launcher; {nearest(str(override.value()), LAUNCHERS)}")
    else:
        judged.launcher = str(override.value())


def _known_groups(conf: Path, config_dir: Path | None) -> dict[str, tuple[str, ...]]:
    """The shipped groups with the user's choices in them, and the user's own groups."""
    known = {"experiment": (), **groups(conf)}
    for group, options in (groups(config_dir) if config_dir else {}).items():
        if group in known or not is_known(group):  # a folder runs/ beside the user's files is no group
            known[group] = (*known.get(group, ()), *options)
    return known


def _quoted(line: str, parser: OverridesParser) -> str | None:
    """The line as a shell is to be given it, where it lacks nothing but the quotes that the shell took for its own."""
    key, _, value = line.partition("=")
    is_list = value[:1] + value[-1:] == "[]"
    texts = [f'"{text.strip()}"' for text in (value[1:-1].split(",") if is_list else [value])]
    made = f"{key}=[{','.join(texts)}]" if is_list else f"{key}={texts[0]}"
    try:
        parser.parse_override(made)
    except HydraException:
        return None
    return shlex.quote(made)


def judge(lines: list[str], conf: Path, config_dir: Path | None = None) -> Judged:
    """Parse and judge override lines; sweeps (`seed=0,1`) are kept as sweeps, a glob becomes the choices it matches."""
    parser, judged = OverridesParser.create(), Judged()
    known_groups = _known_groups(conf, config_dir)
    for line in lines:
        if fault := _secret_fault(line):
            judged.faults.append(fault)
            continue
        try:
            override = parser.parse_override(line)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            hint = "key=value, with quotes round a value that holds commas, spaces or brackets"
            hint = (_quoted(line, parser) if "token recognition" in reason else None) or hint
            judged.faults.append(f"{line}: cannot be read as an override ({reason}); write {hint}")
            continue
        key = override.key_or_group
        if override.is_delete():
            judged.faults.append(f"{line}: a cell has no optional keys to delete; write {key}=null")
        elif key in known_groups:
            _judge_choice(override, known_groups[key], judged)
        elif key == LAUNCHER:
            _judge_launcher(override, judged)
        elif key.startswith("hydra"):
            judged.faults.append(f"{line}: Hydra's own settings are not used here; see python -m rlvr_sweep --help")
        elif not is_known(key):
            judged.faults.append(f"{line}: unknown key {key!r}; {nearest(key, {*known_keys(), *known_groups})}")
        elif fault := _value_fault(override):
            judged.faults.append(fault)
        else:
            judged.good.append(parser.parse_override(_prefixed(override)))
    judged.good = _last_counts(judged.good)
    return judged


def _last_counts(overrides: list[Override]) -> list[Override]:
    """Without the choices and sweeps whose key comes again. A plain value stays: mappings are merged in their order."""
    last = {override.key_or_group: override for override in overrides}
    return [o for o in overrides if o is last[o.key_or_group] or not (is_choice(o) or o.is_sweep_override())]
