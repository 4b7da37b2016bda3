"""The machine that a guest is: qemu's arguments, the same when it is saved and when it is restored."""

import functools
from dataclasses import dataclass
from pathlib import Path

from tests.guest.build.tool import run_tool
from tests.guest.spec import Spec

QEMU = "qemu-system-x86_64"
# Left out is what costs emulation time: five-level page tables at each miss, wide registers and string
# instructions in each copy, and the switch of access to user memory around it.
CPU = "max,la57=off,avx=off,avx2=off,erms=off,smap=off"


@functools.cache
def version() -> str:
    """The first line of qemu's --version: a snapshot is good for the qemu that wrote it."""
    return run_tool(QEMU, "--version").decode().splitlines()[0]


def overlay(base: Path, base_format: str, file: Path) -> None:
    """Make a qcow2 file that holds only what differs from `base`."""
    run_tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, file)


@dataclass(frozen=True, slots=True)
class Machine:
    """What a qemu process is made of. The same but for `memory`'s sharing when saved and when restored."""

    spec: Spec
    kernel: Path
    initramfs: Path
    disk: Path  # qcow2, written
    others: tuple[Path, ...]  # raw, read only
    memory: Path | None  # a file with the guest's memory; None: anonymous
    share: bool = False  # write to that file (else its pages are copied when they are written)
    incoming: bool = False  # wait for a saved state

    def arguments(self, agent: int, monitor: int, console: Path) -> list[str]:
        """The command line; `agent` and `monitor` are file descriptors that qemu inherits."""
        size = f"{self.spec.memory}M"
        memory = f"memory-backend-ram,id=ram,size={size}"
        if self.memory:
            sharing = "on" if self.share else "off"
            memory = f"memory-backend-file,id=ram,size={size},mem-path={_escape(self.memory)},share={sharing}"
        words = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        words += [
            "-accel",
            f"tcg,thread={'single' if self.spec.counted else 'multi'},tb-size=512",
            "-cpu",
            CPU,
            "-smp",
            str(self.spec.cpus),
        ]
        if self.spec.counted:
            words += ["-icount", "shift=0,sleep=off"]
        words += ["-M", "pc,graphics=off,usb=off,memory-backend=ram", "-object", memory, "-m", size]
        words += [
            "-kernel",
            str(self.kernel),
            "-initrd",
            str(self.initramfs),
            "-append",
            self.spec.command_line(),
        ]
        # nobody needs a scratch disk after a power cut
        words += [
            "-drive",
            f"file={_escape(self.disk)},format=qcow2,if=none,id=disk0,cache=unsafe,discard=unmap",
        ]
        words += ["-device", "virtio-blk-pci,drive=disk0"]
        for number, path in enumerate(self.others, 1):
            words += ["-drive", f"file={_escape(path)},format=raw,if=none,id=disk{number},readonly=on"]
            words += ["-device", f"virtio-blk-pci,drive=disk{number}"]
        words += ["-chardev", f"socket,id=agent,fd={agent}", "-device", "virtio-serial-pci"]
        words += ["-device", "virtserialport,chardev=agent,name=agent"]
        words += ["-chardev", f"file,id=console,path={_escape(console)}", "-serial", "chardev:console"]
        words += ["-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]
        return [*words, "-incoming", "defer"] if self.incoming else words


def _escape(path: Path) -> str:
    """A path as a value in qemu's comma-separated options."""
    return str(path).replace(",", ",,")
