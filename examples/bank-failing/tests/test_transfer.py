from decimal import Decimal

import pytest

from bank import InsufficientFunds, transfer


def test_transfer(ana, rui):
    transfer(ana, rui, "50.00")
    assert (ana.balance, rui.balance) == (Decimal("50.00"), Decimal("70.00"))


def test_a_refused_transfer_moves_nothing(ana, rui):
    with pytest.raises(InsufficientFunds):
        transfer(rui, ana, "500.00")
    assert (ana.balance, rui.balance) == (Decimal("100.00"), Decimal("20.00"))


def test_transfer_is_logged(ana, rui, audit_log):
    transfer(ana, rui, "1.00")
    assert audit_log == ["Ana -> Rui 1.00"]
