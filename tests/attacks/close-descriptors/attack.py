import os


def test_closes_everything():
    for descriptor in range(0, 256):
        try:
            os.close(descriptor)
        except OSError:
            pass
