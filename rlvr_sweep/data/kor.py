"""KOR-Bench (arXiv 2410.06526) as rows: five categories, each question with its rule, zero-shot or after examples.

    data=kor/cipher data.path=FOLDER                   # FOLDER/cipher/{rule,sample,three-shot}.jsonl, as released
    data=kor/logic data.hub=OWNER/NAME data.shots=3    # the same files in a Hub dataset
    data=kor/puzzle data.path=mine.jsonl               # or your own rows of rule, question and answer

Rules are JSON lines of idx, title and rule_content; questions of idx, question, answer ("[[...]]") and rule_id. The
instructions around them are ours: which prompts and which protocol arXiv 2508.21188 used is not known, and the native
one (chat models zero-shot, base models after three examples) is taken from a summary of the benchmark's paper.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr_sweep.data.files import Broken, Place, kind_of, read
from rlvr_sweep.errors import UserError
from rlvr_sweep.grading.rules import KOR, brackets
from rlvr_sweep.nearest import nearest

FILES = {"rule": "rule", "sample": "sample", "examples": "three[-_]shot"}  # what is read, and its name in the release
ENDINGS = ("jsonl", "json", "parquet")
LEAD = {
    "operation": "Below, an operation is defined. Answer the question by this definition alone.",
    "logic": "Below, a system of logic is defined. Answer the question by its rules and in its notation.",
    "cipher": "Below, a cipher is described. Follow its steps exactly.",
    "puzzle": "Below, the rules of a puzzle are given. Solve the puzzle so that every rule holds.",
    "counterfactual": "Below is a story of a world that is not ours. Answer by the story, also where it contradicts "
    "what you know.",
}
MARK = "Put the final answer in double square brackets, like this: [[answer]]."
# Of the released rules, by title, the answers whose form their text does not tell: one of several, words in any order.
ANY_OF = {"Word Roots and Affixes": ",", "Anagram": " "}
FREE_ORDER = ("Connect words",)


@dataclass(frozen=True)
class Rule:
    title: str | None
    text: str


def category(name: str | None, *, key: str) -> str:
    """A category's name. UserError otherwise."""
    if name is None or name not in KOR:
        fault = f"no category {name!r}" if name else "missing"
        raise UserError(f"{key}.task: {fault}; {nearest(name or '', KOR)}")
    return name


def choose(names: Sequence[str], wanted: str) -> dict[str, str]:
    """Which of a repository's or folder's files hold a category's rules, questions and examples, by those words."""
    found = {}
    for what, stem in FILES.items():
        pattern = re.compile(rf"(?:.*/)?{wanted}[/_]{stem}\.({'|'.join(ENDINGS)})")
        hits = sorted((name for name in names if pattern.fullmatch(name)), key=len)
        if hits:
            found[what] = hits[0]
    return found


def places(paths: dict[str, Path], *, wanted: str, split: str | None, shots: int, key: str) -> list[Place]:
    """The rows of one category (id, prompt, answer, and what else is known of each), or why one cannot be used.

    `paths`: the files by what they hold, "sample" at least; without "rule" each row brings its rule. `split` "train"
    takes the released examples for questions, else it is the benchmark's questions. UserError: a file is not there.
    """
    if split not in (None, "test", "train"):
        raise UserError(
            f"{key}.split={split}: there are the questions (test) and the examples (train); write one of them"
        )
    is_example = split == "train"
    if is_example and "examples" not in paths:
        raise UserError(f"{key}.split=train: reads the file of examples, and there is none; write {key}.split=test")
    rules = _rules(paths, key)
    asked = _questions(read(paths["examples" if is_example else "sample"], key=key), rules)
    known = _questions(read(paths["examples"], key=key), rules) if "examples" in paths and not is_example else []
    examples: dict[str, list[_Question]] = defaultdict(list)  # the released ones first, then the rule's other questions
    for _, question in [*known, *asked]:
        if isinstance(question, _Question):
            examples[question.rule_id].append(question)
    fewest = shots
    found: list[Place] = []
    for place, question in asked:
        if isinstance(question, Broken):
            found.append((place, question))
            continue
        # One released example is also a question of the benchmark: whoever asks it must not show its answer.
        shown = [one for one in examples[question.rule_id] if one.text != question.text][:shots]
        fewest = min(fewest, len(shown))
        number = f"example-{question.number}" if is_example else question.number
        row = {"id": f"kor-{wanted}-{number}", "prompt": _prompt(wanted, question, shown), "answer": question.answer}
        known_of_it = {"category": wanted, "rule_id": question.rule_id, "question": question.text}
        found.append((place, row | known_of_it | question.columns))
    if fewest < shots:
        raise UserError(
            f"{key}.shots={shots}: some rule has only {fewest} further questions; write {key}.shots={fewest}"
        )
    return found


@dataclass(frozen=True)
class _Question:
    number: str
    text: str
    written: str  # the answer as the file has it
    answer: str  # the same as its verifier reads it
    rule_id: str
    rule: Rule
    columns: dict[str, Any]


def _rules(paths: dict[str, Path], key: str) -> dict[str, Rule]:
    """Rules by idx. UserError with the faults of the file: without its rule no question can be asked."""
    if "rule" not in paths:
        return {}
    found, faults = {}, []
    for place, raw in read(paths["rule"], key=key):
        if isinstance(raw, dict) and "idx" in raw and isinstance(raw.get("rule_content"), str):
            found[str(raw["idx"])] = Rule(raw.get("title"), raw["rule_content"])
        else:
            faults.append(place)
    if faults:
        raise UserError(f"{key}: {paths['rule']}: {', '.join(faults)}: a rule needs idx and rule_content; mend them")
    return found


def _questions(rows: Sequence[Place], rules: dict[str, Rule]) -> list[tuple[str, "_Question | Broken"]]:
    seen: Counter[str] = Counter()
    found: list[tuple[str, _Question | Broken]] = []
    for position, (place, raw) in enumerate(rows, start=1):
        question = raw if isinstance(raw, Broken) else _question(raw, str(position), rules)
        if isinstance(question, _Question):
            seen[question.number] += 1
            if seen[question.number] > 1:
                question = Broken(f"idx {question.number!r} comes twice")
        found.append((place, question))
    return found


def _question(raw: Any, position: str, rules: dict[str, Rule]) -> "_Question | Broken":
    if not isinstance(raw, dict):
        return Broken(f"is {kind_of(raw)}, not an object")
    text, answer = raw.get("question"), raw.get("answer")
    if not isinstance(text, str) or not text.strip():
        return Broken("question is missing")
    if not isinstance(answer, str | int | float) or isinstance(answer, bool) or not str(answer).strip():
        return Broken("answer is missing")
    own = raw.get("rule", raw.get("rule_content"))
    rule = Rule(raw.get("title"), own) if isinstance(own, str) else rules.get(str(raw.get("rule_id")))
    if rule is None:
        return Broken(f"rule_id {raw.get('rule_id')!r} is no rule's idx, and it brings no rule of its own")
    rule_id = str(raw.get("rule_id", own))
    kept = {"title": rule.title, "real_life_answer": raw.get("real_life_answer"), "tag": raw.get("category")}
    columns = {name: value for name, value in kept.items() if value is not None}
    number, written = str(raw.get("idx", position)), str(answer).strip()
    return _Question(number, text.strip(), written, gold(written, rule.title), rule_id, rule, columns)


def gold(answer: str, title: str | None = None) -> str:
    """A gold answer as its verifier reads it: what the double brackets hold; alternatives as `a | b`, words whose order
    is free as `{a b}`, of several right expressions the first."""
    inner = brackets(answer)
    inner = answer.strip() if inner is None else inner
    if title in ANY_OF:
        return " | ".join(part for part in inner.split(ANY_OF[title]) if part)
    if title in FREE_ORDER:
        return "{" + " ".join(inner.split()) + "}"
    if re.fullmatch(r"[\d\s+\-*/\u00d7\u00f7()]+", inner) and "\n" in inner:
        return inner.splitlines()[0].strip()
    return re.sub(r"\\(\d+)(?=sqrt)", r"\1\\", inner)  # a slip of one released example


def _prompt(wanted: str, question: _Question, shown: Sequence[_Question]) -> str:
    """The rule, the examples with their answers, and the question; after examples it ends in "Answer:"."""
    parts = [LEAD[wanted], f"Rule:\n{question.rule.text.strip()}"]
    parts += [f"Question:\n{one.text}\nAnswer:\n{_bracketed(one.written)}" for one in shown]
    asked = question.text if "[[" in question.text else f"{question.text}\n{MARK}"
    parts.append(f"Question:\n{asked}\nAnswer:" if shown else f"Question:\n{asked}")
    return "\n\n".join(parts)


def _bracketed(answer: str) -> str:
    return answer if answer.startswith("[[") else f"[[{answer}]]"
