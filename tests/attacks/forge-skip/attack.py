import pytest


def test_skips_itself():
    pytest.skip("not today")
    assert False
