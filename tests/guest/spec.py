"""Which guest is meant: a kernel of versions.lock, a security module, what runs as process 1."""

from dataclasses import dataclass

LSM_WORDS = {
    "apparmor": "apparmor=1 security=apparmor",
    "selinux": "apparmor=0 selinux=1 security=selinux enforcing=0",
    "none": "apparmor=0 selinux=0",
}
INITS = ("agent", "systemd")


@dataclass(frozen=True, slots=True, order=True)
class Spec:
    """A kind of guest; each has a snapshot of its own.

    `init`: 'agent' (nothing but the harness runs) or 'systemd' (the harness is a unit of it).
    `audit`: False boots with audit=0. `counted`: a nanosecond of the guest's clock is an instruction.
    """

    kernel: str = "6.1"
    lsm: str = "apparmor"
    init: str = "agent"
    cpus: int = 1
    memory: int = 1024  # MiB
    audit: bool = True
    counted: bool = False

    def __post_init__(self) -> None:
        if self.lsm not in LSM_WORDS:
            raise ValueError(f"no LSM {self.lsm!r}: one of {', '.join(LSM_WORDS)}")
        if self.init not in INITS:
            raise ValueError(f"no init {self.init!r}: one of {', '.join(INITS)}")

    def __str__(self) -> str:
        words = [self.kernel, self.lsm]
        if self.init != "agent":
            words.append(self.init)
        if self.cpus != 1:
            words.append(f"{self.cpus}cpus")
        if self.memory != 1024:
            words.append(f"{self.memory}MiB")
        if not self.audit:
            words.append("noaudit")
        if self.counted:
            words.append("counted")
        return "-".join(words)

    @classmethod
    def parse(cls, text: str, kernel: str) -> "Spec":
        """A guest as versions.lock writes it, 'LSM' or 'LSM+INIT', of `kernel`."""
        lsm, _, init = text.partition("+")
        return cls(kernel, lsm, init or "agent")

    def command_line(self) -> str:
        """The kernel's command line.

        Emulation makes the timer checks fail and the crypto self-tests slow. A panic ends qemu.
        """
        return (
            "console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable "
            "random.trust_cpu=on rcupdate.rcu_expedited=1 cryptomgr.notests "
            f"guest.init={self.init} {LSM_WORDS[self.lsm]}{'' if self.audit else ' audit=0'}"
        )
