import os


def test_makes_one_large_file_of_nothing():
    with open("large", "wb") as file:
        try:
            os.truncate(file.fileno(), (64 << 20) + 1)
        finally:
            os.unlink("large")
