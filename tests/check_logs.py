"""docs/operations.md names every event that a node writes to its log, with its level, and no other."""

import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEVELS = ("info", "warn", "error")


def calls(path):
    """[(level, [the names that it may be])]: a name may be one of two, `ok ? "a_done" : "a_failed"`."""
    with open(path, encoding="utf-8") as file:
        found = re.findall(r"\blog_(%s)\(([^,;]*)," % "|".join(LEVELS), file.read())
    return [(level, re.findall(r'"([^"]*)"', name)) for level, name in found]


def sources():
    return [path for room in ("loadbalance", "runner", "node")
            for path in sorted(glob.glob(os.path.join(ROOT, room, "**", "*.c"), recursive=True))]


def written():
    """{event: levels} of the sources; debug lines are for whoever reads those."""
    events = {}
    for path in sources():
        for level, names in calls(path):
            for name in names:
                events.setdefault(name, set()).add(level)
    return events


def described():
    """The same, of the table; and every row is whole."""
    with open(os.path.join(ROOT, "docs", "operations.md"), encoding="utf-8") as file:
        table = re.search(r"^\| event \| level \|.*?\n\n", file.read() + "\n\n", re.M | re.S)[0]
    events = {}
    for line in table.strip().splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        assert len(cells) == 4 and cells[2], line
        names = re.findall(r"`(\w+)`", cells[0])
        assert names and cells[0] == ", ".join(f"`{name}`" for name in names), line
        for name in names:
            assert name not in events, f"{name} is there twice"
            events[name] = {level.strip() for level in cells[1].split(",")}
    return events


def test_every_event_is_described_with_its_level():
    events = written()
    assert len(events) > 50, "the sources are read wrongly"
    missing = sorted(set(events) - set(described()))
    assert not missing, f"no row in docs/operations.md: {missing}"
    wrong = {event: levels for event, levels in described().items()
             if event in events and events[event] != levels}
    assert not wrong, f"other levels in docs/operations.md: {wrong}"


def test_no_event_is_described_that_nobody_writes():
    assert not sorted(set(described()) - set(written()))


def test_events_are_words():
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", event) for event in written())


def test_every_name_is_found():
    """None comes from a variable: it would be in no table."""
    assert not [path for path in sources() for _, names in calls(path) if not names]
