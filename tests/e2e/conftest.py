import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))

import zips  # noqa: E402
from node import Node  # noqa: E402


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """One node for all tests that leave it as it was: nobody may stop it or upload much."""
    with Node(tmp_path_factory.mktemp("node")) as running:
        yield running
        assert running.is_alive(), running.tail()


@pytest.fixture
def own_node(tmp_path):
    """A node of the test's own, to be hurt."""
    with Node(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def examples(node):
    """The finished document of all example projects."""
    document = node.wait_done(node.submit(zips.of_examples()))
    assert document["status"] == "done", document
    return document
