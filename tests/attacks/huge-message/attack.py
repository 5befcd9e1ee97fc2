def test_says_much():
    assert False, "x" * (256 << 20)
