"""docs/protocol.md has every message that the code has, under its number, with as many fields."""

import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def numbers():
    """What message.h says: {"PING": 1, …}."""
    return {name: int(number) for name, number in
            re.findall(r"^    WIRE_(\w+) = (\d+),", read("proto/wire/message.h").split("enum wire_kind", 1)[1]
                       .split("};", 1)[0], re.M) if number != "0"}


def rows():
    """What protocol.md says: {"PING": (1, "seq u32, …")}; 44/45 rows have one message each."""
    found = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| (.*) \|$", read("docs/protocol.md"), re.M)
    return {name: (int(number), fields) for number, name, fields in found}


def pieces(text):
    """Splits at the commas that are in no bracket: `a, [b, c], (d, e)` are three."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "([") - (char in ")]")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def field_counts():
    """What table.c says: {"PING": 2, …}; WORK_IDS are three."""
    text = read("proto/wire/table.c")
    lists = {}
    for name, body in re.findall(r"^(?:FIELDS|PART_SHAPE)\((\w+), (.*?)\);$", text, re.M | re.S):
        fields = pieces(" ".join(body.split()))
        lists[name] = sum(3 if field.startswith("WORK_IDS") else 1
                          for field in fields if not re.fullmatch(r"wire_\w+", field))
    return {name: lists[fields] for name, fields in re.findall(r"MESSAGE\((\w+), \w+, (\w+), \d+\)", text)}


def test_every_message_is_described_under_its_number():
    assert {name: number for name, (number, _) in rows().items()} == numbers()


def test_every_message_has_a_row_in_the_table_of_fields():
    assert set(field_counts()) == set(numbers())


@pytest.mark.parametrize("name", sorted(numbers()))
def test_a_message_is_described_with_all_its_fields(name):
    fields = rows()[name][1]
    if fields.startswith(("as ", "the fields of")):
        return
    fields = fields.split(": ")[0] if name in ("PREQ", "NACK") else fields
    # A list in the binary form is one field: "bin, 16 bytes each: eval, digest".
    fields = re.sub(r"bin, \d+ bytes each: [^,]*(, [^,]*)?$", "bin", fields)
    fields = re.sub(r"`\[.*?\]`", "list", fields)
    assert len(pieces(fields)) == field_counts()[name], fields
