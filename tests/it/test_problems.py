"""Every reason that the code refuses with has a row in the table of problems, and so a title, a status and a page."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOMS = ("node", "runner", "loadbalance", "proto")


def sources():
    for room in ROOMS:
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            for name in names:
                if name.endswith(".c"):
                    with open(os.path.join(folder, name), encoding="utf-8") as file:
                        yield os.path.relpath(os.path.join(folder, name), ROOT), file.read()


def test_every_reason_has_a_row():
    with open(os.path.join(ROOT, "node", "http", "problems.tbl"), encoding="utf-8") as file:
        rows = set(re.findall(r'^PROBLEM\("([a-z0-9-]+)"', file.read(), re.MULTILINE))
    used = {(reason, path) for path, text in sources()
            for reason in re.findall(r'err_refuse\(\s*\w+,\s*ERR_\w+,\s*"([^"]+)"', text)}
    assert len(used) > 10
    assert not sorted(pair for pair in used if pair[0] not in rows)
