"""The table of statistics."""

import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.server.admin import CommandError
from bcfg2.server.admin.perf import rows, table


def test_the_table_is_sorted_and_aligned() -> None:
    statistics = {"GetProbes": [0.5, 12.25, 1.0000004, 1234567], "BuiltinCore:Bind:Path": [0, 1, 0.125, 3]}
    assert table(rows(statistics)) == textwrap.dedent("""\
        ===================== ======== ========= ======== =======
        Name                       Min       Max     Mean   Count
        ===================== ======== ========= ======== =======
        BuiltinCore:Bind:Path 0.000000  1.000000 0.125000       3
        GetProbes             0.500000 12.250000 1.000000 1234567
        """)


def test_without_statistics_header_and_rulings_remain() -> None:
    assert table(rows({})) == "==== === === ==== =====\nName Min Max Mean Count\n==== === === ==== =====\n"


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.floats(), st.floats(), st.floats(), st.integers(min_value=0))))
def test_every_name_has_one_line_and_all_lines_have_one_length(statistics: dict[str, Any]) -> None:
    lines = table(rows(statistics)).split("\n")
    assert len(lines) == 3 + len(statistics) + 1
    assert len({len(line) for line in lines[:-1]}) == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        "text",
        ["GetConfig"],
        {"x": None},
        {"x": [1.0, 2.0, 3.0]},
        {"x": ["a", 1, 1, 1]},
        {"x": [1, 1, 1, 0.5]},
    ],
)
def test_an_answer_of_another_shape_is_told_so(answer: Any) -> None:
    with pytest.raises(CommandError, match="something else than statistics"):
        rows(answer)
