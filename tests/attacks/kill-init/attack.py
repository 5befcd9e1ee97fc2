import ctypes
import os
import signal


def test_cannot_touch_the_process_above():
    libc = ctypes.CDLL(None, use_errno=True)
    for target in (1, os.getppid()):
        for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            try:
                os.kill(target, number)
            except OSError:
                pass
        for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
            assert libc.ptrace(request, target, 0, 0) == -1
            assert ctypes.get_errno() == 1
