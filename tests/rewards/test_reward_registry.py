"""Names, parameters, and what the rest of the package asks about a reward."""

import json
import subprocess
import sys

import pytest

from rlvr_sweep.rewards import REGISTRY, needs_labels, parse, reward_content, score
from rlvr_sweep.rewards.types import Group

ARGUMENTS = {
    "inverse": {"of": "python"},
    "all_of": {"of": ["ground_truth", "format"]},
    "any_of": {"of": ["ground_truth", "format"]},
    "weighted": {"of": [{"reward": "format", "weight": 0.5}]},
    "plugin": {"function": "somewhere:score"},
}


@pytest.mark.parametrize("name", REGISTRY)
def test_every_reward_is_parsed_by_its_name_and_survives_json(name: str) -> None:
    params = parse({"name": name, **ARGUMENTS.get(name, {})})
    assert type(params) is REGISTRY[name].Params
    assert parse(json.loads(json.dumps(params.model_dump()))) == params
    assert parse(params) is params


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("grund_truth", "no reward is called 'grund_truth'; did you mean ground_truth?"),
        ("zzz", "write one of all_of, any_of"),
        ({"gamma": 0.5}, "a reward needs a name"),
        (None, "a reward is a name or a mapping"),
        ({"name": "random", "gama": 0.5}, "reward 'random' has no key 'gama'; did you mean gamma?"),
        ({"name": "ground_truth", "gold": 1}, "reward 'ground_truth' has no key 'gold'; it takes no keys"),
        ({"name": "random", "gamma": 1.5}, "reward 'random': gamma: Input should be less than or equal to 1"),
        ({"name": "format", "variant": "first"}, "'at_least_one' or 'last_box'"),
        ({"name": "inverse"}, "reward 'inverse': of is missing"),
        ({"name": "inverse", "of": {"name": "pyton"}}, "no reward is called 'pyton'; did you mean python?"),
        ({"name": "all_of", "of": ["format"]}, "at least 2 items"),
        ({"name": "plugin", "function": "short.py"}, "'short.py' is not MODULE:FUNCTION"),
        ({"name": "plugin", "function": None}, "None is not MODULE:FUNCTION"),
    ],
)
def test_a_wrong_spec_is_one_line_that_says_what_to_write(spec: object, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(spec)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_faults_are_both_told() -> None:
    with pytest.raises(ValueError, match=r"stream.*gama"):
        parse({"name": "random", "gama": 1, "stream": -1})


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        ("ground_truth", False),
        ("majority_online", False),
        ("majority_offline", True),
        ("incorrect", True),
        ({"name": "all_of", "of": ["format", {"name": "inverse", "of": "incorrect"}]}, True),
        ({"name": "weighted", "of": [{"reward": "majority_offline", "weight": 1}]}, True),
        ({"name": "weighted", "of": [{"reward": "python", "weight": 1}]}, False),
        ({"name": "plugin", "function": "a:b", "needs_labels": True}, True),
    ],
)
def test_labels_are_needed_where_any_part_reads_them(spec: object, needed: bool) -> None:
    assert needs_labels(parse(spec)) is needed


def test_only_plugins_have_content() -> None:
    assert reward_content(parse({"name": "all_of", "of": ["ground_truth", "format"]})) == {}


def test_a_miscounting_reward_is_an_error(group, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(params: object, group: Group) -> list[float | None]:
        return [1.0]

    monkeypatch.setattr(REGISTRY["format"], "score", short)
    with pytest.raises(ValueError, match="'format' gave 1 values for 2 completions"):
        score(parse("format"), group(texts=["a", "b"]))


def test_importing_the_registry_is_light() -> None:
    heavy = "{'torch', 'numpy', 'trl', 'transformers', 'sympy', 'pyarrow'} & sys.modules.keys()"
    code = f"import sys, rlvr_sweep.rewards; sys.exit(str({heavy} or ''))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr.strip() == ""
    )
