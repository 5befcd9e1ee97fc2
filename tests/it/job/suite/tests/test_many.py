import unittest
import warnings

import pytest


def test_number(number):
    assert number == 3


def test_deselected():
    raise AssertionError


def test_later():
    raise NotImplementedError


def test_warns():
    warnings.warn("this one fails the test")


@pytest.mark.slow
@pytest.mark.parametrize("a", [1, 2])
@pytest.mark.parametrize("b", ["x::y", "[", "long" * 50])
def test_table(a, b):
    assert a == 1 or b != "["


@pytest.mark.xfail(reason="wrong on purpose")
def test_strict():
    pass


@pytest.mark.xfail(raises=ValueError)
def test_other_error():
    raise KeyError("k")


@pytest.mark.xfail(run=False)
def test_not_run():
    raise SystemExit


class TestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ready = True

    def test_ready(self):
        assert self.ready

    @unittest.skip("not now")
    def test_skipped(self):
        raise AssertionError

    @unittest.expectedFailure
    def test_expected(self):
        raise AssertionError

    @unittest.expectedFailure
    def test_unexpected(self):
        pass

    def test_subtests(self):
        for i in range(4):
            with self.subTest(i=i):
                assert i != 2


class TestSetup:
    def setup_method(self, method):
        if "broken" in method.__name__:
            raise RuntimeError("set-up")

    def teardown_method(self, method):
        if "late" in method.__name__:
            raise RuntimeError("teardown")

    def test_fine(self):
        pass

    def test_broken(self):
        pass

    def test_late(self):
        pass

    def test_late_and_failing(self):
        raise AssertionError


def test_exit_in_test():
    raise SystemExit(0)
