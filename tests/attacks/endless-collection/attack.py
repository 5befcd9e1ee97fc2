import pytest


def numbers():
    number = 0
    while True:
        yield number
        number += 1


@pytest.mark.parametrize("number", numbers())
def test_number(number):
    assert True
