"""Directories of a host on a disk that is small enough to be filled: the lab's own is the controller's."""

BEGIN = """
set -e
systemctl stop {units}
mkdir -p {disk}
mount -t tmpfs -o size=$(($(du -cm {paths} | tail -1 | cut -f1) + {room}))m small {disk}
for path in {paths}; do
    mkdir -p {disk}$(dirname $path)
    cp -a $path {disk}$(dirname $path)
    mount --bind {disk}$path $path
done
systemctl restart systemd-journald
systemctl start {units}
"""
# What was written meanwhile is kept: backups hold some of it already.
END = """
set -e
systemctl stop {units}
for path in {paths}; do
    umount --lazy $path
    find $path -mindepth 1 -delete
    cp -a {disk}$path/. $path
done
umount {disk}
systemctl restart systemd-journald
systemctl start {units}
"""


class SmallDisk:
    """A context: paths of a host are on one small disk, with so many MiB free; the units that use them start anew."""

    def __init__(self, lab, host, paths, units, room=64):
        self.lab, self.host = lab, host
        self._names = {
            "paths": " ".join(paths),
            "units": " ".join(units),
            "room": room,
            "disk": "/run/small",
        }

    def __enter__(self):
        self.lab.run(self.host, BEGIN.format(**self._names))
        assert self.lab.comes_back() is None
        return self

    def __exit__(self, *told):
        self.lab.run(self.host, END.format(**self._names))
        assert self.lab.comes_back() is None

    def fill(self):
        """Leave no byte free."""
        self.lab.run(self.host, "cat /dev/zero > /run/small/ballast; true")
        free = self.lab.run(self.host, "df --output=avail /run/small | tail -1")
        assert free.strip() == "0", free

    def make_room(self):
        """Take away what filled it."""
        self.lab.run(self.host, "rm /run/small/ballast")
