import nothing_like_that


def test_it():
    pass
