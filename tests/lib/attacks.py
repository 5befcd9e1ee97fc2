"""The programs of tests/attacks, as projects to be sent in."""

import json
import os

import zips
from node import ROOT

ATTACKS = os.path.join(ROOT, "tests", "attacks")
NAMES = sorted(name for name in os.listdir(ATTACKS)
               if os.path.exists(os.path.join(ATTACKS, name, "expect.json")))
MODULE = "test_attack.py"


def read(name):
    with open(os.path.join(ATTACKS, name, "expect.json"), encoding="utf-8") as file:
        return json.load(file)


def project_of(name):
    files = zips.files_of(os.path.join(ATTACKS, name))
    del files["expect.json"]
    files[MODULE] = files.pop("attack.py")
    return {f"{name}/{path}": data for path, data in files.items()}
