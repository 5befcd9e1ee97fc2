"""Reads Prometheus's text format 0.0.4, strictly: what a node tells at /metrics.

    told = exposition.read(node.get("/metrics").body)
    told.value("testmesh_modules_total", outcome="passed", blame="none")
    told.total("testmesh_modules_total", blame="cluster")     # added up over the other labels
"""

import math
import re

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*$")
SAMPLE = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)')
NUMBER = re.compile(r"[+-]Inf$|NaN$|-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?$")
PARTS = ("_bucket", "_sum", "_count")


class Family:
    def __init__(self, name, help):
        self.name, self.help, self.kind, self.samples = name, help, None, {}


class Told:
    def __init__(self, families):
        self.families = families

    def samples(self, name, **labels):
        """{labels: value} of those that have these labels."""
        family = self.families.get(name) or self.families[re.sub(r"_(bucket|sum|count)$", "", name)]
        wanted = set(labels.items())
        return {found: value for (sample, found), value in family.samples.items()
                if sample == name and wanted <= set(found)}

    def value(self, name, **labels):
        found = list(self.samples(name, **labels).values())
        assert len(found) == 1, (name, labels, found)
        return found[0]

    def total(self, name, **labels):
        return sum(self.samples(name, **labels).values())


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        assert found, f"no label: {text[at:]}"
        name, value = found.groups()
        assert name not in labels, text
        labels[name] = re.sub(r"\\(.)", lambda c: "\n" if c[1] == "n" else c[1], value)
        at = found.end()
    return frozenset(labels.items())


def read(body):
    families, current = {}, None
    text = body.decode("utf-8")
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, help = line[7:].partition(" ")
            assert NAME.match(name) and help and name not in families, line
            current = families[name] = Family(name, help)
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            assert current and name == current.name and current.kind is None, line
            assert kind in ("counter", "gauge", "histogram"), line
            current.kind = kind
        else:
            read_sample(current, line)
    for family in families.values():
        check(family)
    return Told(families)


def read_sample(family, line):
    found = SAMPLE.match(line)
    assert found and NUMBER.match(found[3]), line
    name, labels = found[1], read_labels(found[2] or "")
    parts = [family.name + part for part in PARTS] if family.kind == "histogram" else [family.name]
    assert name in parts, f"{line} stands below {family.name}"
    assert (name, labels) not in family.samples, f"{line} is there twice"
    family.samples[name, labels] = float(found[3].replace("Inf", "inf"))


def check(family):
    assert family.kind, f"{family.name} has no TYPE"
    assert family.name.endswith("_total") == (family.kind == "counter"), family.name
    if family.kind != "gauge":
        assert all(value >= 0 and not math.isnan(value) for value in family.samples.values()), family.name
    if family.kind == "histogram":
        check_histogram(family)


def check_histogram(family):
    buckets = {}
    for (name, labels), value in family.samples.items():
        if name.endswith("_bucket"):
            le = dict(labels)["le"]
            rest = frozenset(label for label in labels if label[0] != "le")
            buckets.setdefault(rest, []).append((float(le.replace("Inf", "inf")), value))
    for labels, counts in buckets.items():
        bounds, values = zip(*counts)
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, (family.name, bounds)
        assert list(values) == sorted(values), f"{family.name} is not added up"
        assert family.samples[family.name + "_count", labels] == values[-1]
        assert (family.name + "_sum", labels) in family.samples
