import gc
import os


def test_a_child_ends_the_session():
    if os.fork() == 0:
        for stream in gc.get_objects():
            if type(stream).__name__ == "Stream" and hasattr(stream, "number"):
                stream.pid = os.getpid()
                stream.send(4, 0, 1, 0, 1, "", "", "", "", 0)
                stream.send(7, 0, 1, 1, 0)
        os._exit(0)
    os.wait()
    assert False
