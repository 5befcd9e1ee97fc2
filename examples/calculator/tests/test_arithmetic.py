import pytest

from calculator import evaluate


@pytest.mark.parametrize(
    "text, value",
    [
        ("1 + 1", 2),
        ("7 - 10", -3),
        ("6 * 7", 42),
        ("9 / 2", 4.5),
        ("2 ** 10", 1024),
        ("-3 + 5", 2),
    ],
)
def test_operators(text, value):
    assert evaluate(text) == value


def test_multiplication_binds_tighter():
    assert evaluate("2 + 3 * 4") == 14


def test_brackets():
    assert evaluate("(2 + 3) * 4") == 20
