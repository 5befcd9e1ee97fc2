from shapes import table


def test_table():
    lines = table([("square", 2), ("rectangle", 2, 5)]).splitlines()
    assert lines[0].split() == ["shape", "area"]
    assert [line.split() for line in lines[2:]] == [["square", "4"], ["rectangle", "10"]]
