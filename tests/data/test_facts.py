"""What a run records of its data is plain JSON."""

import json

from rlvr_sweep.data.facts import facts
from rlvr_sweep.data.overlap import overlap
from rlvr_sweep.data.prompts import Prepared
from rlvr_sweep.data.rows import Row, Rows


def test_facts_are_json_and_count_what_was_done():
    rows = [Row("a", "1+1?", "2"), Row("b", "2+2?", "4")]
    found = facts(
        rows=Rows(rows, "ab12", {"kind": "file"}),
        prepared=Prepared(rows[:1], [[1, 2]], dropped=1, longest=2),
        audit={"label_accuracy": None},
        overlaps=overlap(["1+1?"], {"sums": ["1 + 1?", "3+3?"]}),
    )
    found = json.loads(json.dumps(found, allow_nan=False))
    assert (found["rows"], found["kept"], found["too_long"], found["longest_prompt"]) == (2, 1, 1, 2)
    assert (found["sha256"], found["source"], found["labels"]) == ("ab12", {"kind": "file"}, {"label_accuracy": None})
    assert found["overlap"]["sums"]["exact"] == 1 and found["overlap"]["sums"]["prompts"] == 2
