"""What a preset leaves to the cell it is used in, settled before the cell is judged, so that one run has one id.

settled({"algo": {"extraction": "auto", ...}, "model": {"template": "r1", ...}, ...})     # extraction: tagged
"""

from typing import Any

from rlvr_sweep.data.templates import asks_for_tags

AUTO = "auto"


def settled(config: dict[str, Any]) -> dict[str, Any]:
    """`algo.extraction=auto` goes by the prompt: tagged where it asks for <answer> tags, else lenient. What a preset
    wants of empty labels (`algo.fixes`) is nothing to a cell without labels."""
    algo, data, model = (config[key] if isinstance(config.get(key), dict) else {} for key in ("algo", "data", "model"))
    if algo.get("extraction") == AUTO:
        how = "tagged" if asks_for_tags(model.get("template")) else "lenient"
        config = config | {"algo": algo | {"extraction": how}}
    brought = (algo.get("fixes") or {}).get("data", {}).get("empty_labels")
    if brought is not None and data.get("labels") is None and data.get("empty_labels") == brought:
        config = config | {"data": {key: value for key, value in data.items() if key != "empty_labels"}}
    return config
