"""docs/openapi.json, and answers held against it."""

import json
import os

from node import ROOT


def described():
    with open(os.path.join(ROOT, "docs", "openapi.json"), encoding="utf-8") as file:
        return json.load(file)


def check(document, schema, value, where="answer"):
    """The little of JSON Schema that the description uses."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
             "boolean": bool, "null": type(None)}
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    assert not wanted or any(isinstance(value, kinds[kind]) for kind in wanted), (where, value)
    assert "enum" not in schema or value in schema["enum"], (where, value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        more = schema.get("additionalProperties")
        assert set(schema.get("required", ())) <= set(value), (where, set(value))
        for key, member in value.items():
            assert key in known or isinstance(more, dict), f"{where}: {key} is not described"
            check(document, known.get(key) or more, member, f"{where}.{key}")
    if isinstance(value, list):
        for at, member in enumerate(value):
            check(document, schema["items"], member, f"{where}[{at}]")
