import math
import sys

import pytest

from shapes import area


@pytest.mark.parametrize("side", range(10))
def test_square(side):
    assert area("square", side) == side * side


@pytest.mark.parametrize("a, b", [(1, 2), (3, 4), (0, 7)], ids=["small", "3 x 4", "flat/empty"])
def test_rectangle(a, b):
    assert area("rectangle", a, b) == a * b


def test_circle():
    assert area("circle", 1) == pytest.approx(math.pi)


@pytest.mark.xfail(reason="triangles are for next week", raises=KeyError)
def test_triangle():
    assert area("triangle", 3, 4, 5) == 6


@pytest.mark.xfail(reason="was wrong once; nobody took the mark away")
def test_unit_square():
    assert area("square", 1) == 1


@pytest.mark.skipif(sys.platform != "win32", reason="only for Windows")
def test_on_windows():
    assert area("square", 2) == 5


@pytest.mark.slow
def test_negative_sides_are_refused():
    with pytest.raises(ValueError):
        area("square", -1)


class TestUnknown:
    class TestKinds:
        @pytest.mark.parametrize("kind", ["", "hexagon", "a::b[c]/d"])
        def test_is_a_key_error(self, kind):
            with pytest.raises(KeyError):
                area(kind)
