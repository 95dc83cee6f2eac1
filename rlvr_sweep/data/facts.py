"""What was done to the data, as plain values that a run writes into its record.

facts(rows=rows, prepared=ready, overlaps=found, audit=audit)     # {"rows": 2000, "sha256": ..., "too_long": 3, ...}
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rlvr_sweep.data.overlap import Overlap
from rlvr_sweep.data.prompts import Prepared
from rlvr_sweep.data.rows import Rows


def facts(
    *,
    rows: Rows,
    prepared: Prepared | None = None,
    audit: Mapping[str, Any] | None = None,
    overlaps: Mapping[str, Overlap] | None = None,
) -> dict[str, Any]:
    """One JSON-ready dictionary: the source and its hash, rows dropped for length, the label audit, the overlaps."""
    found: dict[str, Any] = {"source": rows.facts, "sha256": rows.sha256, "rows": len(rows.rows)}
    if audit is not None:
        found["labels"] = dict(audit)
    if prepared is not None:
        found |= {"kept": len(prepared.rows), "too_long": prepared.dropped, "longest_prompt": prepared.longest}
    if overlaps is not None:
        found["overlap"] = {name: asdict(hit) for name, hit in overlaps.items()}
    return found
