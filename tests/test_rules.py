"""The index of the rules of sending (design §6) and of the rows of the field notes: rule, rows → the tests that stand for them.

A test says in its name what it stands for: `test_rule_04_f1_f7_…`; a row that belongs to no rule is `test_f45_…`.
`python tests/test_rules.py` prints the table.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
NAME = re.compile(r"test_(?:rule_(?P<rule>\d\d)_)?(?P<rows>(?:f\d+_)*)")

# Every rule with the rows that are its reason; 0 stands for rows that no rule names.
RULES: dict[int, tuple[str, tuple[int, ...]]] = {
    1: ("right name", (22,)),
    2: ("own duplicate guard", (4, 10, 50)),
    3: ("write, then call", (7, 21)),
    4: ("a lost answer is unknown", (1, 2, 6, 7, 12, 16, 18, 39, 43)),
    5: ("440 is a question", (3, 5, 8, 35)),
    6: ("445 is read invoice by invoice", (11, 13, 14, 19)),
    7: ("close until closed", (1, 13, 14)),
    8: ("bytes are bytes", (47,)),
    9: ("retries by operation", (9, 15, 16, 20, 44, 56)),
    10: ("interactive or batch, within the limits", (35, 36, 37, 38)),
    11: ("recall window", ()),
    12: ("dates", (52,)),
    0: ("", (17, 40, 41, 42, 45, 55)),
}
CITED = {*range(1, 22), *range(35, 46), 47, 50, 52, 55, 56}


@cache
def index() -> dict[tuple[int, int], list[str]]:
    """(rule, row) → test ids, as far as the tests really stand in the files; row 0: the rule itself."""
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match = NAME.match(node.name) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else None
            if match is None or not (match["rule"] or match["rows"]):
                continue
            test_id = f"{path.relative_to(TESTS)}::{node.name}"
            rows = [int(row) for row in re.findall(r"f(\d+)", match["rows"])]
            if match["rule"]:
                found[int(match["rule"]), 0].append(test_id)
            for row in rows:
                found[int(match["rule"] or 0), row].append(test_id)
    return found


def test_every_rule_and_every_row_behind_it_has_a_test():
    missing = [(rule, row) for rule, (_, rows) in RULES.items() for row in rows if not index().get((rule, row))]
    missing += [(rule, 0) for rule in RULES if rule and not index().get((rule, 0))]
    assert missing == []


def test_every_cited_row_stands_in_the_table():
    assert {row for _, rows in RULES.values() for row in rows} >= CITED


def test_no_test_names_a_rule_that_is_not_there():
    assert {rule for rule, _ in index()} <= set(RULES)
    for test_ids in index().values():
        for test_id in test_ids:
            assert not re.search(r"::test_rule_\d_", test_id), test_id


if __name__ == "__main__":
    for number, (title, rows) in sorted(RULES.items(), key=lambda one: one[0] or 99):
        print(f"\n{f'Rule {number}: {title}' if number else 'Rows of no rule'}")
        for cited in (*((0,) if number else ()), *rows):
            print(f"  {f'F{cited}' if cited else 'all'}")
            for name in index().get((number, cited), []):
                print(f"    {name}")
