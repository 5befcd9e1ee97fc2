"""What the container files say, read as text: no engine is needed for it."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECCOMP = os.path.join(ROOT, "deploy", "seccomp")
SCRIPTS = ("deploy/docker/entrypoint.sh", "deploy/docker/healthcheck.sh", "nginx/container.sh",
           "nginx/healthcheck.sh", "nginx/render.sh")
# What the sandbox is made of, and what no container of ours has a reason to ask for.
NEEDED = {"clone", "mount", "umount2", "pivot_root", "unshare", "setns", "sethostname", "seccomp",
          "landlock_restrict_self", "pidfd_open"}
REFUSED = {"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "bpf", "perf_event_open",
           "userfaultfd", "io_uring_setup", "keyctl", "add_key", "request_key", "open_by_handle_at", "init_module",
           "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct",
           "quotactl", "settimeofday", "clock_settime", "clock_adjtime", "iopl", "ioperm", "modify_ldt", "syslog",
           "fanotify_init", "name_to_handle_at", "vhangup", "chroot", "fsopen", "fsmount", "move_mount", "open_tree"}


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def rules():
    return json.loads(text_of("deploy", "seccomp", "testmesh.json"))["syscalls"]


# ---- seccomp ----

def test_the_profile_is_made_of_the_reasons():
    made = subprocess.run([sys.executable, os.path.join(SECCOMP, "make.py"), "--check"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert made.returncode == 0, made.stdout


def test_the_profile_allows_what_the_sandbox_needs_and_little_else():
    profile = json.loads(text_of("deploy", "seccomp", "testmesh.json"))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ALLOW"}
    allowed = [name for rule in profile["syscalls"] for name in rule["names"]]
    assert NEEDED <= set(allowed) and not REFUSED & set(allowed)
    assert all(rule["comment"].partition(": ")[2] for rule in profile["syscalls"])


def test_sockets_are_of_families_that_a_job_may_have_too():
    families = {rule["args"][0]["value"] for rule in rules() if rule["names"] == ["socket"]}
    assert families == {1, 2, 10, 16}
    assert not [rule for rule in rules() if "socket" in rule["names"] and "args" not in rule]


@pytest.mark.parametrize("text, problem", [
    ("[a]\n> why\nread read\n", "twice"), ("[a]\nread\n", "no reason"), ("[a]\n> why\nRead\n", "no name"),
    ("[a]\n> why\nsocket(0=x)\n", "no name")])
def test_a_list_that_makes_no_sense_is_refused(tmp_path, text, problem):
    sys.path.insert(0, SECCOMP)
    try:
        import make
    finally:
        sys.path.remove(SECCOMP)
    path = tmp_path / "reasons.txt"
    path.write_text(text)
    with pytest.raises(SystemExit, match=problem):
        make.read(str(path))


# ---- images ----

def test_the_image_is_built_of_every_room():
    """CMake would say so, too, after minutes."""
    rooms = set(re.findall(r"^add_subdirectory\((\w+)\)", text_of("CMakeLists.txt"), re.M)) | {"cmake"}
    copied = set(re.findall(r"^COPY (\w+) /src/", text_of("Dockerfile"), re.M))
    let_in = set(re.findall(r"^!([\w./-]+)$", text_of(".dockerignore"), re.M))
    assert rooms <= copied, rooms - copied
    assert copied <= let_in, copied - let_in


def test_nothing_of_the_front_is_there_twice():
    assert "nginx/front.conf.in nginx/render.sh" in text_of("nginx", "Dockerfile")
    assert "render.sh" in text_of("nginx", "container.sh") and "nginx/render.sh" in text_of("boot.sh")


def test_both_images_are_not_root_and_say_how_they_are():
    for path in (["Dockerfile"], ["nginx", "Dockerfile"]):
        last = text_of(*path).rpartition("\nFROM ")[2]
        assert re.search(r"^USER 1000:1000$", last, re.M) and "HEALTHCHECK" in last and "STOPSIGNAL" in last
        assert "org.opencontainers.image.version" in last
        assert re.findall(r"^FROM (\S+)", "FROM " + last, re.M) == ["debian:bookworm-slim"]


def test_scripts_are_valid_and_strict():
    for name in SCRIPTS:
        path = os.path.join(ROOT, name)
        subprocess.run(["bash", "-n", path], check=True)
        assert os.access(path, os.X_OK), f"{name} is not executable"
        assert "set -euo pipefail" in text_of(name)
    subprocess.run(["bash", "-n", os.path.join(ROOT, "deploy", "docker", "stack.sh")], check=True)


# ---- compose ----

def test_compose_gives_no_right_away():
    text = re.sub(r"#.*", "", text_of("docker-compose.yml"))
    for word in ("privileged", "docker.sock", "cap_add", "pid: host", "network_mode", "userns_mode"):
        assert word not in text, word
    ports = [line for line in text.splitlines() if re.search(r'^\s+(- |ports: \[)"[^"]*(127\.0\.0\.1|TESTMESH_BIND)', line)]
    assert len(ports) == 4 * 2 + 1 + 2
    assert all("${TESTMESH_BIND:-127.0.0.1}:" in line or '"127.0.0.1:' in line for line in ports), ports
    assert len([line for line in ports if "/udp" in line]) == len([line for line in ports if "/tcp" in line]) == 4


def test_what_a_node_is_given_is_an_option_of_its():
    options = {"TESTMESH_" + name for name in re.findall(r'ROW\("[a-z-]+", "(\w+)"', text_of("node", "options.c"))}
    own = {"TESTMESH_PORT", "TESTMESH_NODES"}  # entrypoint.sh, container.sh
    assert len(options) > 40 and own <= set(re.findall(r"TESTMESH_\w+", text_of("deploy/docker/entrypoint.sh") +
                                                       text_of("nginx/container.sh")))
    given = set(re.findall(r"^ +(TESTMESH_\w+):", text_of("docker-compose.yml"), re.M))
    given |= set(re.findall(r"-e (TESTMESH_\w+)", text_of("deploy", "docker", "stack.sh")))
    assert given - own - options <= {"TESTMESH_TOKEN"}  # the client's


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_compose_understands_it():
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TESTMESH_", "COMPOSE_"))}
    read = subprocess.run(["docker-compose", "config"], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=env)
    assert read.returncode == 0, read.stderr
    services = read.stdout.partition("services:")[2].partition("\nvolumes:")[0]
    assert set(re.findall(r"^  ([a-z0-9-]+):$", services, re.M)) == {
        "node-1", "node-2", "node-3", "node-4", "worker", "front", "prometheus", "grafana"}
