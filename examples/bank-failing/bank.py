"""An exercise as it is often handed in: mostly right."""

from decimal import Decimal


class InsufficientFunds(Exception):
    pass


class Account:
    def __init__(self, owner, balance="0.00"):
        self.owner = owner
        self.balance = Decimal(balance)
        self.history = []

    def deposit(self, amount):
        self.balance += Decimal(amount)
        self.history.append(("deposit", Decimal(amount)))

    def withdraw(self, amount):
        amount = Decimal(amount)
        # Wrong on purpose: an account may be emptied, so this should be `amount > self.balance`.
        if amount >= self.balance:
            raise InsufficientFunds(f"{self.owner} has only {self.balance}")
        self.balance -= amount
        self.history.append(("withdraw", amount))

    def interest(self, percent):
        # Wrong on purpose: a float where money wants a Decimal.
        return float(self.balance) * percent / 100


def transfer(source, target, amount):
    # Wrong on purpose: the money is there before it is known that the source has it.
    target.deposit(amount)
    source.withdraw(amount)
