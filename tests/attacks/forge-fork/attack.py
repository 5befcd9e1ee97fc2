import os


def test_leaves_it_to_a_child():
    if os.fork():
        os._exit(0)


def test_that_fails_nowhere():
    assert True
