import sys


def dive(depth):
    return repr(depth) if depth == 0 else dive(depth - 1) + ""


def nest(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_recursion_that_the_interpreter_cannot_hold():
    sys.setrecursionlimit(1 << 30)
    repr(nest(1 << 22))
    dive(1 << 24)
