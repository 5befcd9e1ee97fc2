import os


def test_fills_the_inodes():
    number = 0
    while True:
        os.close(os.open("f%d" % number, os.O_CREAT | os.O_WRONLY))
        number += 1
