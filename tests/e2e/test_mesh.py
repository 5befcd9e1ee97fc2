"""Real meshes under faults, each node in a network namespace: whatever is killed, stopped, cut off or
full, every module counts once, and every survivor says the same.

The names of the tests are those of the list of faults in docs/protocol.md's terms: K kills, S stops,
P partitions, C load, D disks, X modules. SEED=… repeats a choice of nodes and moments.
"""

import os
import random
import subprocess
import time

import pytest
import zips
from disks import SmallDisk
from mesh import Mesh
from netns import Network, NoNamespaces
from node import FULL

MODULES, TESTS = 40, 2
SECONDS = 0.1  # of each test
DISK_BYTES = 128 << 20
IS_ROOT = os.geteuid() == 0
ROUNDS = 13 if FULL else 1  # of each of four stages: over fifty kills
KILLS = 30 if FULL else 4
KILL_EVERY_S = 2
CUT_S = 75 if FULL else 12
HEALED_S = 10
LOAD_S = 600 if FULL else 15


def work(modules=MODULES, seconds=SECONDS, name="steady"):
    return zips.of_files(zips.project(name, **{f"test_{n:02}": zips.sleeping(seconds, TESTS)
                                               for n in range(modules)}))


@pytest.fixture(scope="module")
def network():
    try:
        made = Network(4)
    except NoNamespaces as error:
        yield error
        return
    with made:
        yield made


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """The folder of the last node: one that can be filled."""
    folder = tmp_path_factory.mktemp("mesh")
    if not IS_ROOT:
        yield folder, None
        return
    small = SmallDisk(folder / "3" / "data", DISK_BYTES)
    yield folder, small
    small.unmount()


@pytest.fixture(scope="module")
def common(network, disk):
    is_real = isinstance(network, Network)
    made = Mesh(disk[0], 4, ["--slots", "2"], network=network if is_real else None, start=False)
    with made.warm().start():
        yield made


@pytest.fixture
def mesh(common, network):
    """Four nodes that see each other, whatever the last test did to them."""
    if isinstance(network, Network):
        network.heal()
    for node in common.alive():
        if node.is_stopped:
            node.resume()
    common.start()
    common.totals()
    return common


@pytest.fixture
def rng(request):
    seed = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def cuts(network):
    if isinstance(network, NoNamespaces):
        pytest.skip(f"no network namespaces: {network}")
    return network


def check_whole(document, modules=MODULES):
    """All modules are there, each counted once."""
    assert document["status"] == "done", document
    rows = document["module_results"]["steady"]
    assert len(rows) == document["executed"] == modules
    for path, row in rows.items():
        assert row["outcome"] == "passed" and row["node"] and row["attempts"] >= 1, (path, row)
        assert (row["passed"], row["failed"], row["errors"]) == (TESTS, 0, 0), (path, row)
    info = document["_run_info"]
    assert (info["nota"], info["errors"], info["%passed"]) == (20, 0, 100)


def check(mesh, id, before, modules=MODULES, among=None, timeout=120):
    """Done, whole, and the same from all of `among` (all that run), the totals too."""
    document = mesh.wait_same(id, timeout, among)
    check_whole(document, modules)
    after = mesh.same_totals(among)
    assert after["passed"] == before["passed"] + modules * TESTS
    assert (after["failed"], after["evaluations"]) == (before["failed"], before["evaluations"] + 1)
    return document


def executed(node, id):
    document = node.try_json(f"/evaluation/{id}")
    return document["executed"] if document else 0


def wait_executed(mesh, node, id, count):
    mesh.wait(lambda: executed(node, id) >= count, f"{count} modules done", 60, pause=0.005)


# ---- K: kills ----

def test_an_evaluation_is_shared(mesh):
    before = mesh.totals()
    document = check(mesh, mesh[0].submit(work(seconds=0.3)), before)
    used = {row["node"] for row in document["module_results"]["steady"].values()}
    assert len(used) >= 2 and used <= {node.home for node in mesh.nodes}


def test_k1_executors_are_killed_again_and_again(mesh, rng):
    owner, kills = rng.choice(mesh.nodes), 0
    while kills < KILLS:
        before = mesh.totals()
        id = owner.submit(work(seconds=0.5))
        killed_at = time.monotonic()
        while owner.evaluation(id)["status"] != "done":
            if time.monotonic() - killed_at >= KILL_EVERY_S and kills < KILLS:
                victim = mesh.random(rng, but=[owner])
                victim.kill()
                killed_at, kills = time.monotonic(), kills + 1
                victim.restart()
            time.sleep(0.05)
        mesh.wait_agree()
        check(mesh, id, before)


STAGES = ("after the 202", "mid-run", "after the last result", "during the seal")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("round", range(ROUNDS))
def test_k2_the_owner_is_killed(mesh, rng, stage, round):
    before = mesh.totals()
    owner = rng.choice(mesh.nodes)
    id = owner.submit(work())
    if stage == "mid-run":
        wait_executed(mesh, owner, id, rng.randrange(1, MODULES - 1))
    elif stage == "after the last result":
        wait_executed(mesh, owner, id, MODULES)
    elif stage == "during the seal":
        wait_executed(mesh, owner, id, MODULES - 1)
        time.sleep(rng.uniform(0, 0.3))
    owner.kill()
    document = check(mesh, id, before)
    owner.restart()
    mesh.wait_agree()
    assert mesh.wait_same(id) == document


@pytest.mark.parametrize("round", range(ROUNDS))
def test_k3_the_owner_and_another_are_killed(mesh, rng, round):
    """With both gone for good it may take the survivors 30 s more to act without a majority of the
    replicas; in the short run they come back."""
    before = mesh.totals()
    owner, other = rng.sample(mesh.nodes, 2)
    id = owner.submit(work())
    wait_executed(mesh, owner, id, rng.randrange(0, MODULES - 1))
    owner.process.kill()
    other.process.kill()
    owner.kill()
    other.kill()
    if FULL and round % 2:
        check(mesh, id, before, timeout=180)
    mesh.start()
    check(mesh, id, before)


@pytest.mark.parametrize("round", range(ROUNDS))
def test_k4_all_are_killed_and_come_back(mesh, rng, round):
    before = mesh.totals()
    owner = rng.choice(mesh.nodes)
    id = owner.submit(work())
    wait_executed(mesh, owner, id, rng.randrange(0, MODULES + 1))
    seen = executed(owner, id)
    mesh.kill_all()
    mesh.start()
    mesh.wait(lambda: all(executed(node, id) >= seen for node in mesh.nodes),
              f"all know again of the {seen} that were done", 30)
    check(mesh, id, before)


# ---- S: stops ----

@pytest.mark.parametrize("who", ["owner", "executor"])
def test_s1_a_node_is_stopped_and_continued(mesh, rng, who):
    """It doubts itself, and accuses nobody."""
    before = mesh.totals()
    owner = rng.choice(mesh.nodes)
    victim = owner if who == "owner" else mesh.random(rng, but=[owner])
    id = owner.submit(work(seconds=0.2))
    wait_executed(mesh, owner, id, 5)
    victim.pause()
    time.sleep(10)
    victim.resume()
    others = {node.home for node in mesh.nodes}
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        seen = victim.members()
        assert seen == others, f"{victim} sees {seen}"
        time.sleep(0.1)
    mesh.wait_agree(timeout=15)
    check(mesh, id, before)


# ---- P: partitions ----

def cut_half(network):
    network.split([0, 1], [2, 3])


def cut_one(network):
    network.split([0], [1, 2, 3])


def cut_one_way(network):
    for by in (1, 2, 3):
        network.deafen(0, by)


def cut_three_ways(network):
    network.split([0], [1], [2, 3])


CUTS = [cut_half, cut_one, cut_one_way, cut_three_ways] if FULL else [cut_half]


@pytest.mark.parametrize("cut", CUTS, ids=lambda cut: cut.__name__)
def test_p1_a_partition_heals(mesh, cuts, rng, cut):
    before = mesh.totals()
    owner = rng.choice(mesh.nodes)
    id = owner.submit(work(seconds=0.3))
    wait_executed(mesh, owner, id, 3)
    cut(cuts)
    time.sleep(CUT_S)
    assert not mesh.agree(), "the cut was not noticed"
    cuts.heal()
    mesh.wait_agree(timeout=HEALED_S)
    check(mesh, id, before)


# ---- C: load ----

def test_c1_a_busy_machine_has_no_false_deaths(mesh):
    wanted = {node.home for node in mesh.nodes}
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"], stdin=subprocess.DEVNULL)
            for _ in range(4 * os.cpu_count())]
    try:
        deadline = time.monotonic() + LOAD_S
        while time.monotonic() < deadline:
            for node in mesh.nodes:
                assert set(node.get_json("/network")) == wanted
            time.sleep(0.2)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert mesh.agree()


# ---- D: disks ----

def test_d1_the_owners_disk_fills(mesh, disk):
    """It takes nothing more and says so; what it had accepted is finished by the others."""
    small = disk[1]
    if small is None:
        pytest.skip("only root can mount a small disk")
    before = mesh.totals()
    owner, others = mesh[3], mesh.nodes[:3]
    id = owner.submit(work(seconds=0.3))
    wait_executed(mesh, owner, id, 5)
    small.fill()
    try:
        mesh.wait(lambda: owner.get("/readyz").status == 503, "its store has given up", 30)
        assert owner.post_zip(work(1)).status == 503
        check(mesh, id, before, among=others)
    finally:
        small.make_room()
    owner.stop()
    owner.restart()
    mesh.wait_agree()
    check(mesh, id, before)
    before = mesh.totals()
    check(mesh, owner.submit(work(4)), before, 4)


# ---- X: modules ----

POISON = {
    "kills": "import os, signal\n\n\ndef test():\n    os.kill(-1, signal.SIGKILL)\n",
    "eats": "def test():\n    held = []\n    while True:\n        held.append(bytearray(1 << 24))\n",
    "stays": ("import subprocess\n\n\ndef test():\n"
              "    subprocess.Popen(['sleep', '3600'], start_new_session=True)\n"),
}


def test_x1_bad_modules_hurt_nobody_else(mesh):
    files = zips.project("steady", **{f"test_{n:02}": zips.sleeping(SECONDS, TESTS)
                                      for n in range(20)})
    files.update(zips.project("poison", **{f"test_{name}": text for name, text in POISON.items()}))
    document = mesh.wait_same(mesh[1].submit(zips.of_files(files)))
    assert document["status"] == "done"
    assert all(row["passed"] == TESTS for row in document["module_results"]["steady"].values())
    rows = document["module_results"]["poison"]
    assert rows["tests/test_stays.py"]["passed"] == 1
    for name in ("kills", "eats"):
        row = rows[f"tests/test_{name}.py"]
        assert (row["passed"], row["failed"] + row["errors"]) == (0, 1), row
    assert all(node.is_alive() for node in mesh.nodes) and mesh.agree()
