"""A disk that can be filled: only root can make one."""

import os
import subprocess


class SmallDisk:
    """A tmpfs of `size` bytes at `folder`, and a file that takes all its room."""

    def __init__(self, folder, size):
        self.folder = str(folder)
        self.filler = os.path.join(self.folder, "filler")
        os.makedirs(self.folder, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.folder],
                       check=True)

    def fill(self):
        with open(self.filler, "wb", buffering=0) as file:  # closing has nothing left to write
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass

    def make_room(self):
        os.unlink(self.filler)

    def unmount(self):
        subprocess.run(["umount", "-l", self.folder], check=True)
