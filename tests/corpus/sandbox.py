"""A bubblewrap sandbox for the reference runs: what a careful person would build by hand.

Unprivileged uid, private network with loopback up, read-only system and environment, the project at
the path that the node uses. As root the sources are first bound below an open folder and the uid is
dropped before bubblewrap starts, because `bwrap --uid` run by root leaves the real uid 0.
"""

import os
import shutil
import subprocess

UID = 1000
# The same variables that the node's harness sets; nothing of the caller's environment gets through.
VARIABLES = {
    "PATH": "{env}/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "VIRTUAL_ENV": "{env}",
}
AS_ROOT = """
set -e
stage=$1; shift
mount -t tmpfs -o mode=0755 tmpfs "$stage"
while [ "$1" != -- ]; do
    mkdir "$stage/$1"; mount --bind "$2" "$stage/$1"; shift 2
done
shift
exec setpriv --reuid %d --regid %d --clear-groups --inh-caps=-all "$@"
""" % (UID, UID)


def available():
    return shutil.which("bwrap") is not None


def python_prefix(python):
    """The folder that a Python outside /usr needs inside the sandbox, or None."""
    prefix = subprocess.run(
        [python, "-I", "-c", "import sys; print(sys.base_prefix)"],
        check=True, stdout=subprocess.PIPE, universal_newlines=True,
    ).stdout.strip()
    return None if prefix == "/usr" or prefix.startswith("/usr/") else prefix


def command(mounts, workdir, env_inside, stage, arguments, variables):
    """The argv that runs `arguments` with `mounts`, a list of (mode, outside, inside).

    `variables` are set besides VARIABLES; `stage` is an empty folder of the caller's. mode is "ro" or "rw"; later mounts lie over earlier.
    """
    root = os.geteuid() == 0
    sandbox = ["bwrap", "--unshare-all", "--uid", str(UID), "--gid", str(UID), "--die-with-parent",
               "--new-session", "--clearenv", "--ro-bind", "/usr", "/usr"]
    for link in ("bin", "lib", "lib32", "lib64", "sbin"):
        if os.path.islink("/" + link):
            sandbox += ["--symlink", "usr/" + link, "/" + link]
        elif os.path.isdir("/" + link):
            sandbox += ["--ro-bind", "/" + link, "/" + link]
    for name in ("/etc/ld.so.cache", "/etc/localtime", "/etc/mime.types", "/etc/services",
                 "/etc/protocols", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
                 "/etc/hosts", "/etc/alternatives"):
        if os.path.exists(name):
            sandbox += ["--ro-bind", name, name]
    sandbox += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    staged = []
    for index, (mode, outside, inside) in enumerate(mounts):
        source = outside
        if root:
            staged += [str(index), outside]
            source = os.path.join(stage, str(index))
        sandbox += ["--bind" if mode == "rw" else "--ro-bind", source, inside]
    for name, value in {**VARIABLES, **variables}.items():
        sandbox += ["--setenv", name, value.format(env=env_inside)]
    sandbox += ["--chdir", workdir, "--"] + list(arguments)
    if not root:
        return sandbox
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", AS_ROOT, "sh", stage] \
        + staged + ["--"] + sandbox

