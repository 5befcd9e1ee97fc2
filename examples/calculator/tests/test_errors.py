import pytest

from calculator import evaluate


def test_division_by_zero():
    with pytest.raises(ZeroDivisionError):
        evaluate("1 / 0")


@pytest.mark.parametrize("text", ["", "2 +", "__import__('os')", "'a' * 3"])
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError):
        evaluate(text)
