import pytest


@pytest.mark.parametrize("number", range(100000))
def test_number(number):
    assert number >= 0
