"""A class: one assignment and as many hand-ins as wanted, as instructors know them.

    pupils = classroom.make(40)
    data = classroom.zip_of(pupils)
    pupils["ana-007"].outcome, .passed, .failed, .errors

Most hand-ins work or half work; every tenth or so has something of its own wrong with it. The same
number gives the same class.
"""

import io
import zipfile

ASSIGNMENT = '''\
"""Exercise 4: a small bank."""


class Account:
    def __init__(self, owner, balance=0):
        self.owner, self.balance = owner, balance

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("amount")
        self.balance += amount

    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError("balance")
        self.balance -= amount
'''

TESTS = '''\
import pytest
from bank import Account


def test_deposit():
    account = Account("ana")
    account.deposit(5)
    assert account.balance == 5


def test_withdraw():
    account = Account("ana", 9)
    account.withdraw(4)
    assert account.balance == 5


@pytest.mark.parametrize("amount", [0, -1])
def test_bad_deposit(amount):
    with pytest.raises(ValueError):
        Account("ana").deposit(amount)
'''

MORE = '''\
from bank import Account


def test_owner():
    assert Account("rui").owner == "rui"


def test_overdraft_{number}():
    try:
        Account("rui", 1).withdraw(2)
    except ValueError:
        return
    assert False, "hand-in {number} lets money go that is not there"
'''

REQUIREMENTS = ("six\n", "six\nattrs\n", "attrs>=22\n", "# nothing but comments\n", "packaging\n")
NAMES = ("ana", "rui", "zoë", "joão", "李雷", "max mustermann", "o neil", "Ana")


class Pupil:
    """One hand-in and what is to come of it: counts over its modules; None where it does not matter."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.files = {}
        self.outcome = "passed"
        self.passed = self.failed = self.errors = 0

    def expect(self, outcome, passed, failed, errors):
        self.outcome, self.passed, self.failed, self.errors = outcome, passed, failed, errors
        return self


def whole(pupil, number):
    pupil.files = {"bank.py": ASSIGNMENT + f"\n\n# hand-in {number}\n", "tests/test_bank.py": TESTS,
                   "tests/test_more.py": MORE.format(number=number)}
    return pupil.expect("passed", 6, 0, 0)


def wrong(pupil, number):
    whole(pupil, number)
    pupil.files["bank.py"] = pupil.files["bank.py"].replace("amount > self.balance", "amount < 0")
    return pupil.expect("failed", 5, 1, 0)


def broken_syntax(pupil, number):
    whole(pupil, number)
    pupil.files["bank.py"] = "class Account\n    pass\n"
    return pupil.expect("error", 0, 0, 2)


def broken_conftest(pupil, number):
    whole(pupil, number)
    pupil.files["conftest.py"] = "import no_such_module_at_all\n"
    return pupil.expect("error", 0, 0, 2)


def wants_packages(pupil, number):
    whole(pupil, number)
    pupil.files["requirements.txt"] = REQUIREMENTS[number // 10 % len(REQUIREMENTS)]
    return pupil


def copied(pupil, number):
    """All of these are the same hand-in, byte for byte."""
    return whole(pupil, 0)


def odd_names(pupil, number):
    whole(pupil, number)
    pupil.files["tests/test_ação ü.py"] = "def test_a():\n    pass\n"
    pupil.files["notes (final) [2].txt"] = "x\n"
    pupil.files["__MACOSX/._bank.py"] = b"\x00\x05"
    return pupil.expect("passed", 7, 0, 0)


def without_tests(pupil, number):
    pupil.files = {"bank.py": ASSIGNMENT, "README.md": "# soon\n"}
    return pupil.expect("no_tests", 0, 0, 0)


def loud(pupil, number):
    whole(pupil, number)
    pupil.files["tests/test_loud.py"] = ("def test_loud():\n    for _ in range(3000):\n"
                                         "        print('x' * 1000)\n    assert False\n")
    return pupil.expect("failed", 6, 1, 0)


def hanging(pupil, number):
    whole(pupil, number)
    pupil.files["tests/test_loop.py"] = "def test_loop():\n    while True:\n        pass\n"
    return pupil.expect("timeout", 6, 0, 1)


KINDS = (whole, wrong, broken_syntax, wants_packages, copied, odd_names, without_tests,
         broken_conftest, whole, wrong)


def make(count, packages=True):
    """{name: Pupil}. One hangs and one is loud, in a class of any size."""
    pupils = {}
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        if number == 8:
            kind = hanging
        elif number == 18:
            kind = loud
        elif kind is wants_packages and not packages:
            kind = whole
        name = f"{NAMES[number % len(NAMES)]}-{number:03}"
        pupils[name] = kind(Pupil(name, kind.__name__), number)
    return pupils


def zip_of(pupils, windows=False, top=""):
    """The zip's bytes; `windows`: with backslashes, as some tools on Windows write it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for pupil in pupils.values():
            for path, text in pupil.files.items():
                info = zipfile.ZipInfo("x", (2026, 11, 2, 10, 30, 0))
                name = f"{top}{pupil.name}/{path}"
                info.filename = name.replace("/", "\\") if windows else name
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, text)
    return out.getvalue()
