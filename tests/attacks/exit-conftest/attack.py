def test_that_passes():
    assert True
