import ctypes
import errno
import socket

import pytest

CALLS = {"ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "unshare": 272,
         "setns": 308, "keyctl": 250, "add_key": 248, "bpf": 321, "perf_event_open": 298,
         "io_uring_setup": 425, "userfaultfd": 323, "pidfd_getfd": 438, "process_vm_readv": 310,
         "open_by_handle_at": 304, "init_module": 175, "kexec_load": 246, "chroot": 161}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_call_is_denied(name):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(CALLS[name], 0, 0, 0, 0, 0, 0) == -1
    assert ctypes.get_errno() == errno.EPERM


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000,
                                  0x20000000, 0x40000000])
def test_clone_makes_no_namespace(flag):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(56, ctypes.c_long(flag | 17), 0, 0, 0, 0) == -1
    assert ctypes.get_errno() == errno.EPERM


def test_no_vsock():
    with pytest.raises(PermissionError):
        socket.socket(40, socket.SOCK_STREAM)
