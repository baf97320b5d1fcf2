"""What a lab host is: a container on an overlay over the image, or a virtual machine with a disk of its own.

Both offer the same verbs, so that nobody above them asks which one it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path

from ansible.module_utils.greenrack_lab import LabError, is_mounted, run

# Has the firmware run `mov al, 16; out 0xf4, al; hlt`, upon which qemu ends with 2 * 16 + 1.
SECTOR = bytes([0xB0, 0x10, 0xE6, 0xF4, 0xF4]).ljust(510, b"\0") + b"\x55\xaa"
PROBED = 33

# MiB for translated code, of which emulation would take as much again as the machine has memory.
ACCELERATORS = {"kvm": "kvm", "tcg": "tcg,tb-size=256"}


class Container:
    """A directory tree booted by systemd-nspawn, with the controller's kernel."""

    def __init__(self, params, name):
        self.params = params
        self.name = name
        self.directory = Path(params["directory"], name)
        self.upper, self.work, self.root = (self.directory / d for d in ("upper", "work", "root"))
        # systemd-nspawn names the controller's end of the host's cable, by the name of the machine.
        self.machine = f"{params['lab']}-{name}"
        self.cable = f"vb-{self.machine}"

    def there(self):
        """Say whether the disk is where it belongs."""
        return is_mounted(self.root)

    def prepare(self):
        """Make the disk, or bring it where it belongs: then files can be written below `root`."""
        if self.there():
            return
        for path in (self.upper, self.work, self.root):
            path.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={self.params['image']},upperdir={self.upper},workdir={self.work}"
        run("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))

    def boot(self):
        """Return the command that is the host."""
        return [
            "systemd-nspawn",
            "--quiet",
            "--boot",
            f"--directory={self.root}",
            f"--machine={self.machine}",
            f"--hostname={self.name}",
            f"--network-bridge={self.params['bridge']}",
            "--register=no",
            "--keep-unit",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
        ]

    def remove(self):
        """Delete the disk."""
        if self.there():
            run("umount", str(self.root))
        if self.root.exists():
            self.root.rmdir()  # not rmtree: were it still a mount, this fails and nothing is lost
        if self.directory.exists():
            shutil.rmtree(self.directory)


class VirtualMachine:
    """A disk over the image's, booted by qemu with the image's own kernel."""

    def __init__(self, params, name):
        self.params = params
        self.name = name
        self.directory = Path(params["directory"], name)
        self.disk = self.directory / "disk.qcow2"
        # What makes it this host. The image's unit `lab-identity` unpacks it, each time it boots.
        self.root = self.directory / "identity"
        # The kernel takes 15 characters.
        self.number = zlib.crc32(f"{params['lab']}-{name}".encode("ascii")).to_bytes(4, "big")
        self.cable = f"vb-{self.number.hex()}"

    def there(self):
        """Say whether the disk is where it belongs."""
        return self.disk.exists()

    def image(self):
        """Return the image the disk was made over, whose kernel it needs; the lab may have another by now."""
        told = json.loads(run("qemu-img", "info", "--force-share", "--output=json", str(self.disk)))
        return told["backing-filename"].removesuffix(".ext4")

    def prepare(self):
        """Make the disk: then files can be written below `root`."""
        self.root.mkdir(parents=True, exist_ok=True)
        if not self.there():
            base = f"{self.params['image']}.ext4"
            run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", str(self.disk))

    def boot(self):
        """Plug the host's cable into the bridge, pack its identity, and return the command that is the host."""
        run("ip", "tuntap", "add", "dev", self.cable, "mode", "tap")
        run("ip", "link", "set", "dev", self.cable, "master", self.params["bridge"], "up")
        identity = self.directory / "identity.tar"
        run("tar", "--create", f"--file={identity}", f"--directory={self.root}", ".")
        image = self.image()
        return [
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "q35",
            "-accel",
            ACCELERATORS[self.params["accelerator"]],
            "-cpu",
            "max",
            "-smp",
            str(self.params["cpus"]),
            "-m",
            str(self.params["memory_mb"]),
            "-kernel",
            f"{image}/vmlinuz",
            "-initrd",
            f"{image}/initrd.img",
            "-append",
            f"root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 panic=1 systemd.hostname={self.name}",
            "-serial",
            "stdio",
            "-drive",
            f"file={self.disk},format=qcow2,if=virtio,discard=unmap",
            "-drive",
            f"file={identity},format=raw,if=virtio,readonly=on",
            "-netdev",
            f"tap,id=cable,ifname={self.cable},script=no,downscript=no",
            "-device",
            f"virtio-net-pci,netdev=cable,mac=52:54:{self.number.hex(':')}",
            "-device",
            "virtio-rng-pci",
        ]

    def remove(self):
        """Delete the disk."""
        if self.directory.exists():
            shutil.rmtree(self.directory)


def body_for(params, name):
    """Return what the host is, or, of a host that is there, was made as."""
    virtual = VirtualMachine(params, name)
    if virtual.there():
        made, wanted = "qemu", VirtualMachine
    elif Container(params, name).upper.exists():
        made, wanted = "systemd-nspawn", Container
    else:
        return (VirtualMachine if params["provider"] == "qemu" else Container)(params, name)
    if params["state"] == "started" and (made == "qemu") != (params["provider"] == "qemu"):
        raise LabError(
            f"{name} of lab {params['lab']} was made for {made}, which lab_provider: {params['provider']} is not. "
            "Throw the lab away first (playbooks/lab_down.yml), or name another one with lab_name and lab_prefix."
        )
    return wanted(params, name)


def probe(kind, sector):
    """Return the command that boots the file `sector`, which is SECTOR, by an accelerator of qemu."""
    return [
        "qemu-system-x86_64",
        *("-nodefaults", "-no-user-config", "-display", "none", "-machine", f"pc,accel={kind}"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
        *("-drive", f"file={sector},format=raw,if=floppy,readonly=on"),
    ]


def accelerator():
    """Return what runs virtual machines here: kvm where that is seen to work, else tcg, which is emulation.

    /dev/kvm says little: there are machines where it can be opened, and the guest never runs.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    with tempfile.NamedTemporaryFile(prefix="greenrack-probe-") as file:
        file.write(SECTOR)
        file.flush()
        try:
            ended = subprocess.run(
                probe("kvm", file.name), capture_output=True, check=False, timeout=3
            )
        except subprocess.TimeoutExpired:
            return "tcg"
    return "kvm" if ended.returncode == PROBED else "tcg"
