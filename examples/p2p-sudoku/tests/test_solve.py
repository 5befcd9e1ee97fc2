import pytest
from conftest import call
from grids import SOLVED, with_holes


@pytest.mark.parametrize("every", [9, 7, 5, 4])
def test_solve(one_node, every):
    assert call(one_node, "/solve", {"sudoku": with_holes(every)}) == SOLVED


def test_check(one_node):
    assert call(one_node, "/check", {"sudoku": SOLVED}) == {"valid": True}


def test_stats_count(one_node):
    before = call(one_node, "/stats")["all"]["solved"]
    call(one_node, "/solve", {"sudoku": with_holes(4)})
    assert call(one_node, "/stats")["all"]["solved"] == before + 1


@pytest.mark.skip(reason="the exercise makes this part optional")
def test_work_is_shared(one_node):
    assert len(call(one_node, "/stats")["nodes"]) > 1
