"""docs/security.md names every attack, and no other."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ATTACKS = os.path.join(ROOT, "tests", "attacks")


def words():
    with open(os.path.join(ROOT, "docs", "security.md"), encoding="utf-8") as page:
        return set(re.findall(r"`([a-z0-9/_.-]+)`", page.read()))


def test_every_attack_is_on_the_page():
    attacks = {name for name in os.listdir(ATTACKS) if os.path.isdir(os.path.join(ATTACKS, name))}
    assert not attacks - words()


def test_every_test_on_the_page_is_there():
    missing = [word for word in words()
               if word.startswith("tests/") and not os.path.exists(os.path.join(ROOT, word))]
    assert not missing


def test_links_lead_somewhere():
    docs = os.path.join(ROOT, "docs")
    for name in sorted(os.listdir(docs)):
        if not name.endswith(".md"):
            continue
        with open(os.path.join(docs, name), encoding="utf-8") as page:
            links = re.findall(r"\]\(([^)#:]+)\)", page.read())
        missing = [link for link in links if not os.path.exists(os.path.join(docs, link))]
        assert not missing, (name, missing)
