import time

from conftest import call

ADDRESSES = ["127.0.0.1:5000", "127.0.0.1:5001", "127.0.0.1:5002"]


def test_everybody_knows_everybody(three_nodes):
    for port in three_nodes:
        network = call(port, "/network")
        assert sorted(network) == ADDRESSES
        for address, others in network.items():
            assert sorted([address, *others]) == ADDRESSES


def test_the_anchor_is_not_special(three_nodes):
    assert call(8002, "/network") == call(8000, "/network")


def test_the_network_stays(three_nodes):
    time.sleep(0.3)
    assert len(call(8001, "/network")) == 3
