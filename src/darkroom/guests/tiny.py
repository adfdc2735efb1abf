"""The tiny base image: busybox, dropbear, sudo and the QEMU guest agent, on Debian's cloud kernel, in 30 MB."""

from pathlib import Path
from typing import Final

from darkroom.guests import cpio
from darkroom.guests.appliance import compressed
from darkroom.guests.commands import run
from darkroom.guests.disk import Toolbox, make_disk
from darkroom.guests.locks import held, settle, workshop
from darkroom.guests.packages import KERNEL, Say, fetch, unpack
from darkroom.guests.stamps import fingerprint, is_current, stamp
from darkroom.guests.trees import GuestTree, PackageTree

#: The disk's size as it is built; a larger disk is used in full from its first boot on.
VIRTUAL_SIZE: Final = 512 * 1024**2

_PACKAGES = (
    KERNEL,
    "busybox-static",
    "dropbear-bin",
    "openssh-sftp-server",
    "qemu-guest-agent",
    "sudo",
    "libpam-modules",
    "e2fsprogs",
    "grub-common",
    "grub-pc-bin",
)

_KERNEL_OPTIONS = (
    "root=/dev/vda1 darkroom.root=/dev/vda1 console=tty0 console=ttyS0,115200 net.ifnames=0 quiet "
    "mitigations=off random.trust_cpu=on tsc=reliable no_timer_check 8250.nr_uarts=1 cryptomgr.notests"
)

# The 16-bit loader on purpose: `linux` would move the kernel's 60 MB byte by byte, which takes 2 s without KVM.
_GRUB_CONFIG = f"linux16 /vmlinuz {_KERNEL_OPTIONS}\ninitrd16 /initrd.img\nboot\n"

_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "button", "evdev")

#: Commands of busybox that would pretend that the guest has a package manager.
_UNWANTED = {"busybox", "dpkg", "dpkg-deb", "rpm", "rpm2cpio", "linuxrc"}

_PROGRAMS = (
    "usr/sbin/qemu-ga",
    "usr/sbin/dropbear",
    "usr/bin/dropbearkey",
    "usr/lib/openssh/sftp-server",
    "usr/sbin/resize2fs",
    "usr/libexec/sudo/sudoers.so",
    "usr/lib/x86_64-linux-gnu/security/pam_unix.so",
    "usr/lib/x86_64-linux-gnu/security/pam_permit.so",
    "usr/lib/x86_64-linux-gnu/security/pam_deny.so",
)

_COMMANDS = ("useradd", "userdel", "usermod", "groupadd", "groupdel", "chpasswd", "getent", "shutdown")

_TEXTS: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nsudo:x:27:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/shells": "/bin/sh\n/bin/ash\n",
    "etc/profile": "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\numask 022\n",
    "etc/hostname": "tiny\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 tiny\n::1 localhost\n",
    "etc/resolv.conf": "nameserver 10.0.2.3\n",
    "etc/fstab": "/dev/vda1 / ext4 rw 0 1\n",
    "etc/pam.d/other": "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
    "etc/machine-id": "",
}

_SECRETS: Final = {
    "etc/shadow": "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n",
    "etc/gshadow": "root:*::\ntty:*::\nsudo:*::\nusers:*::\nnogroup:*::\n",
}


def build_tiny(path: Path, *, cache: Path, say: Say = print) -> Path:
    """Build the tiny base image as the stand-alone qcow2 `path`; does nothing when it is there and current.

    A rebuild puts a new file in the place of the old one, so import or copy the image before putting overlays on it.
    Raises GuestBuildError. Whatever happens, `path` is a whole image or not there.
    """
    debs = fetch(_PACKAGES, cache=cache, say=say)
    with held(path.parent / f".{path.name}.lock"):
        inputs = fingerprint(debs)
        if is_current(path, inputs):
            return path
        say("building the tiny base image")
        with workshop(path.parent, path.name) as shop:
            unpack(debs, shop / "packages")
            source = PackageTree(shop / "packages")
            _lay_out(shop / "root", source, _initrd(shop / "initrd", source))
            _write_image(shop, source)
            settle(shop / "disk.qcow2", path)
        stamp(path, inputs)
    return path


def _write_image(shop: Path, source: PackageTree) -> None:
    disk = shop / "disk.raw"
    make_disk(disk, size=VIRTUAL_SIZE, content=shop / "root", grub_config=_GRUB_CONFIG, tools=Toolbox(source))
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, shop / "disk.qcow2"])


def _lay_out(root: Path, source: PackageTree, initrd: bytes) -> None:
    tree = GuestTree(root, source)
    _folders(tree)
    _commands(tree)
    for name, text in _TEXTS.items():
        tree.text(name, text)
    for name, text in _SECRETS.items():
        tree.text(name, text, mode=0o600)
    _configuration(tree)
    tree.copy(source.kernel, "vmlinuz", mode=0o644)
    (root / "initrd.img").write_bytes(initrd)


def _folders(tree: GuestTree) -> None:
    tree.folders("usr/bin", "usr/lib/x86_64-linux-gnu", "usr/lib64", "dev", "proc", "sys", "run", "tmp", "home", "opt")
    tree.folders("root", "etc/skel", "etc/dropbear", "etc/ssh", "etc/sudoers.d", "mnt", "srv", "usr/local/bin")
    tree.folders("var/log", "var/tmp", "var/mail", "var/lib/dbus", "var/lib/sudo/lectured", "var/spool/cron/crontabs")
    # All folders of commands are one, so that a script may call a command by whichever path it knows.
    for name, target in {"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin", "lib": "usr/lib"}.items():
        tree.link(name, target)
    tree.link("lib64", "usr/lib64")
    tree.link("var/run", "../run")
    (tree.root / "root").chmod(0o700)
    (tree.root / "var/tmp").chmod(0o1777)


def _commands(tree: GuestTree) -> None:
    tree.busybox()
    for program in _PROGRAMS:
        tree.program(program)
    # Its rights are those of its owner, root; without the set-user-ID bit it would be of no use.
    tree.program("usr/bin/sudo", mode=0o4755)
    for command in _COMMANDS:
        tree.ours("tiny", command, f"usr/bin/{command}")
    tree.ours("tiny", "accounts", "usr/lib/accounts", mode=0o644)
    tree.link("usr/lib/sftp-server", "openssh/sftp-server")
    for applet in run([tree.root / "bin/busybox", "--list"]).split():
        if applet not in _UNWANTED and not (tree.root / "usr/bin" / applet).exists():
            tree.link(f"usr/bin/{applet}", "busybox")


def _configuration(tree: GuestTree) -> None:
    tree.ours("tiny", "boot", "etc/boot")
    tree.ours("tiny", "agent", "etc/agent")
    tree.ours("tiny", "inittab", "etc/inittab", mode=0o644)
    tree.ours("tiny", "os-release", "etc/os-release", mode=0o644)
    tree.ours("tiny", "powerbutton", "etc/acpi/PWRF/00000080")
    tree.ours("tiny", "sudoers", "etc/sudoers", mode=0o440)
    tree.ours("tiny", "pam-sudo", "etc/pam.d/sudo", mode=0o644)


def _initrd(root: Path, source: PackageTree) -> bytes:
    tree = GuestTree(root, source)
    tree.folders("dev", "proc", "sys", "new")
    tree.busybox()
    tree.ours("tiny", "initrd-init", "init")
    modules = source.modules(_MODULES)
    tree.text("modules/order", "".join(f"{module.name}\n" for module in modules))
    for module in modules:
        tree.copy(module, f"modules/{module.name}", mode=0o644)
    return compressed(cpio.archive(cpio.tree(root)))
