from decimal import Decimal

import pytest

from bank import Account, InsufficientFunds


def test_a_new_account_is_empty():
    assert Account("Eva").balance == 0


def test_deposit(ana):
    ana.deposit("0.10")
    ana.deposit("0.20")
    assert ana.balance == Decimal("100.30")


def test_withdraw(ana):
    ana.withdraw("30.00")
    assert ana.balance == Decimal("70.00")


def test_withdraw_everything(ana):
    ana.withdraw("100.00")
    assert ana.balance == 0


def test_withdraw_too_much(ana):
    with pytest.raises(InsufficientFunds):
        ana.withdraw("100.01")
    assert ana.balance == Decimal("100.00")


def test_history(ana):
    ana.deposit("5.00")
    ana.withdraw("1.00")
    assert [kind for kind, _ in ana.history] == ["deposit", "withdraw"]


def test_interest_is_exact(ana):
    assert isinstance(ana.interest(3), Decimal)
