def test_that_fails():
    assert False
