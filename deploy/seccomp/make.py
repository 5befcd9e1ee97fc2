#!/usr/bin/env python3
"""Makes the container's seccomp profile of the list of reasons beside it.

    deploy/seccomp/make.py            writes testmesh.json
    deploy/seccomp/make.py --check    says whether testmesh.json is what would be written
"""

import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REASONS = os.path.join(HERE, "reasons.txt")
PROFILE = os.path.join(HERE, "testmesh.json")
ITEM = re.compile(r"([a-z0-9_]+)(?:\((\d)=([0-9|]+)\))?$")
EPERM = 1


class Group:
    def __init__(self, name):
        self.name, self.why = name, []
        self.plain = []  # names
        self.by_value = []  # (name, argument, value)


def read(path=REASONS):
    """The groups, in their order. A list that says something twice or gives no reason is refused."""
    groups, seen = [], set()
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            if line.startswith("["):
                groups.append(Group(line.strip("[]")))
            elif line.startswith(">"):
                groups[-1].why.append(line[1:].strip())
            else:
                for word in line.split():
                    take(groups[-1], word, seen, f"{path}:{number}")
    for group in groups:
        if not group.why:
            raise SystemExit(f"{path}: the group {group.name} has no reason")
    return groups


def take(group, word, seen, place):
    found = ITEM.match(word)
    if not found:
        raise SystemExit(f"{place}: {word} is no name of a call")
    name, argument, values = found.groups()
    if name in seen:
        raise SystemExit(f"{place}: {name} is there twice")
    seen.add(name)
    if values is None:
        group.plain.append(name)
    else:
        group.by_value += [(name, int(argument), int(value)) for value in values.split("|")]


def rules(group):
    why = " ".join(group.why)
    if group.plain:
        yield {"names": sorted(group.plain), "action": "SCMP_ACT_ALLOW", "comment": f"{group.name}: {why}"}
    for name, argument, value in group.by_value:
        yield {"names": [name], "action": "SCMP_ACT_ALLOW", "comment": f"{group.name}: {why}",
               "args": [{"index": argument, "value": value, "op": "SCMP_CMP_EQ"}]}


def profile(groups):
    """No word for 32-bit programs: what has none is refused whole."""
    return {"defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": EPERM,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
                        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}],
            "syscalls": [rule for group in groups for rule in rules(group)]}


def text():
    return json.dumps(profile(read()), indent=1) + "\n"


def main(words):
    if words == ["--check"]:
        with open(PROFILE, encoding="utf-8") as file:
            if file.read() != text():
                raise SystemExit("deploy/seccomp/testmesh.json is not made of reasons.txt: "
                                 "run deploy/seccomp/make.py")
    elif not words:
        with open(PROFILE, "w", encoding="utf-8") as file:
            file.write(text())
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
