"""One qemu process: its arguments, its life, its monitor (QMP).

The agent's port and the monitor are socket pairs that qemu inherits: no path can be too long, and nothing has
to wait for a socket to appear. Qemu dies with the thread that started it (PR_SET_PDEATHSIG, by setpriv), so
that nothing is left after a crash or SIGKILL of the harness; let a thread that lives on start guests.
"""

import contextlib
import json
import os
import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any

from tests.guest.errors import GuestError, GuestLostError
from tests.guest.machine import Machine

# A guest takes what others leave: tests on this machine wait for other things, and their bounds are tighter
NICE = 5


class Qemu:
    """A running qemu. Its files are in `folder`: pid, console.log, qemu.log."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.folder = folder
        self.console = folder / "console.log"
        self.agent, agent = socket.socketpair()
        self._monitor, monitor = socket.socketpair()
        words = machine.arguments(agent.fileno(), monitor.fileno(), self.console)
        with agent, monitor, (folder / "qemu.log").open("wb") as log:
            log.write(shlex.join(words).encode() + b"\n")
            log.flush()
            self.process = subprocess.Popen(
                ["nice", "-n", str(NICE), "setpriv", "--pdeathsig", "KILL", "--", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(agent.fileno(), monitor.fileno()),
                start_new_session=True,  # an interrupt from the terminal is for the harness
            )
        with contextlib.suppress(OSError):  # where sessions compete, not processes (sched(7), autogroup)
            Path(f"/proc/{self.process.pid}/autogroup").write_text(f"{NICE}\n")
        (folder / "pid").write_text(f"{self.process.pid}\n")
        self._monitor.settimeout(60)
        self._replies = self._monitor.makefile("rb")
        self._greeted = False

    def ask(self, command: str, fd: int | None = None, **arguments: Any) -> Any:
        """Run a monitor command, with a file descriptor where it takes one; GuestError if qemu refuses it."""
        try:
            if not self._greeted:
                self._replies.readline()
                self._greeted = True
                self.ask("qmp_capabilities")
            text = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
            if fd is None:
                self._monitor.sendall(text)
            else:
                socket.send_fds(self._monitor, [text], [fd])
            while line := self._replies.readline():
                reply = json.loads(line)
                if "error" in reply:
                    raise GuestError(f"qemu refused {command}: {reply['error']['desc']}")
                if "return" in reply:
                    return reply["return"]
        except OSError as error:
            raise GuestLostError(f"qemu does not answer {command}: {error}\n{self.last_words()}") from error
        raise GuestLostError(f"qemu ended before it answered {command}\n{self.last_words()}")

    def last_words(self) -> str:
        """The ends of the console and of what qemu itself said."""
        parts = []
        for name, path in (("console", self.console), ("qemu", self.folder / "qemu.log")):
            with contextlib.suppress(OSError):
                lines = path.read_text(errors="replace").splitlines()[-60:]
                parts.append("\n".join([f"--- end of {name}:", *(line[:300] for line in lines)]))
        return "\n".join(parts)

    def memory_kib(self) -> int:
        """Memory that this process alone holds, in KiB (pages of the snapshot's file are shared)."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1])
        return 0

    def cpu_seconds(self) -> float:
        """Processor time that this process has taken (proc(5), stat, fields 14 and 15)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it; may be called again."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, 9) if self.process.returncode is None else None
        self.process.wait()
        self._replies.close()
        self._monitor.close()
        self.agent.close()
