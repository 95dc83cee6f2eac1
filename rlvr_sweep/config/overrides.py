"""The override lines of a command, judged before Hydra sees them: unknown keys and choices, secrets, grammar.

    judge(["model=lab/lama", "sead=1"], conf) -> Judged(good=[], faults=["model=lab/lama: ...", "sead=1: ..."])

Hydra answers a typo with "use +sead=1", which would make it silent. Here a key that is no key of a cell is refused,
also behind a plus, with the nearest known one; a known key may always be set, whether the chosen files
mention it or not.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from rlvr_sweep.config.keys import is_known, known_keys
from rlvr_sweep.config.tree import groups
from rlvr_sweep.nearest import nearest

SECRET = re.compile(r"(api[_-]?key|token$|secret|password|passwd|credential)", re.IGNORECASE)
SECRET_VALUE = re.compile(r"^(hf_[A-Za-z0-9]{20,}|wandb_v1_\S{20,}|local-[0-9a-f]{30,}|[0-9a-f]{40})$")


@dataclass
class Judged:
    """Overrides Hydra may see, and what is wrong with the others."""

    good: list[Override] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


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
    if override.is_sweep_override():
        return [str(element) for element in override.sweep_string_iterator()]
    value = override.value()
    values = value if isinstance(value, list) else [value]
    return ["null" if v is None else str(v) for v in values]


def _choice_faults(override: Override, options: tuple[str, ...]) -> list[str]:
    group = override.key_or_group
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


def judge(lines: list[str], conf: Path, config_dir: Path | None = None) -> Judged:
    """Parse and judge override lines; sweeps (`seed=0,1`) are kept as sweeps."""
    parser, judged = OverridesParser.create(), Judged()
    known_groups = dict(groups(conf))
    for group, options in (groups(config_dir) if config_dir else {}).items():
        known_groups[group] = (*known_groups.get(group, ()), *options)
    for line in lines:
        if fault := _secret_fault(line):
            judged.faults.append(fault)
            continue
        try:
            override = parser.parse_override(line)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            hint = "write key=value, with quotes round a value that holds commas, spaces or brackets"
            judged.faults.append(f"{line}: cannot be read as an override ({reason}); {hint}")
            continue
        key = override.key_or_group
        if override.is_delete():
            judged.faults.append(f"{line}: a cell has no optional keys to delete; write {key}=null")
        elif key in known_groups:
            found = _choice_faults(override, known_groups[key])
            judged.faults += found
            if not found:
                judged.good.append(parser.parse_override(line.lstrip("+")))
        elif key.startswith("hydra"):
            judged.faults.append(f"{line}: Hydra's own settings are not used here; see python -m rlvr_sweep --help")
        elif override.value() == {}:
            judged.faults.append(f"{line}: an empty mapping changes nothing (mappings are merged); write its keys")
        elif is_known(key):
            judged.good.append(parser.parse_override(_prefixed(override)))
        else:
            judged.faults.append(f"{line}: unknown key {key!r}; {nearest(key, {*known_keys(), *known_groups})}")
    return judged
