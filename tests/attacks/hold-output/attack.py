import subprocess


def test_leaves_someone_with_our_streams():
    subprocess.Popen(["sleep", "600"], start_new_session=True)
