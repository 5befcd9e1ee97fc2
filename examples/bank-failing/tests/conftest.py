import pytest

from bank import Account


@pytest.fixture
def ana():
    return Account("Ana", "100.00")


@pytest.fixture
def rui():
    return Account("Rui", "20.00")
