"""What a compiled AppArmor policy allows: its own automaton, walked as the kernel walks it.

apparmor_parser writes what it would load; the layout is that of security/apparmor/policy_unpack.c and
match.c, the meaning of an accepting state that of file.c (permissions as version 5 to 8 have them).
"""

import subprocess
import sys
from array import array

_MAGIC = bytes.fromhex("1b5e783d")
_ACCEPT, _BASE, _CHECK, _DEFAULT, _CLASSES, _NEXT = 1, 2, 3, 4, 5, 8
_START = 1  # state 0 is the one of no match
_OTHER_RULES = b"\4\x09\0policydb\0"
_BLOB = b"\4\x06\0aadfa\0\6"
# bits of an accepting state, for who does not own the file; the kernel's letters
LETTERS = {0x1: "x", 0x2: "w", 0x4: "r", 0x8: "a", 0x10: "l", 0x20: "k", 0x40: "m"}
_OTHER = 14


class NotCompiledError(ValueError):
    """apparmor_parser does not take the text, or what it wrote has not the layout known here."""


def compiled(text: str, *options: str, timeout: float = 120) -> bytes:
    """The policy of a text, as it would be loaded. Raises NotCompiledError."""
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "--quiet", *options, "--stdout"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=timeout, check=False)
    if done.returncode:
        raise NotCompiledError(done.stderr.decode("latin-1"))
    return done.stdout


class Automaton:
    """Tables of one automaton. Bytes fall into classes; a state's next ones stand in `check` and `next`."""

    def __init__(self, blob: bytes) -> None:
        if not blob.startswith(_MAGIC):
            raise NotCompiledError(f"no automaton: {blob[:8]!r}")
        at = int.from_bytes(blob[4:8], "big")
        end = int.from_bytes(blob[8:12], "big")
        self._tables: dict[int, array[int]] = {}
        while at < end:
            number, width = (int.from_bytes(blob[at + n : at + n + 2], "big") for n in (0, 2))
            count = int.from_bytes(blob[at + 8 : at + 12], "big")
            kind = {1: "B", 2: "H", 4: "I"}[width]
            table = array(kind, blob[at + 12 : at + 12 + count * width])
            if sys.byteorder == "little":
                table.byteswap()
            self._tables[number] = table
            at += 12 + count * width
            at += -at % 8

    def ends_in(self, path: bytes) -> int:
        """The state after all bytes."""
        tables = self._tables
        base, check, default, after = (tables[each] for each in (_BASE, _CHECK, _DEFAULT, _NEXT))
        classes = tables.get(_CLASSES)
        state = _START
        for byte in path:
            symbol = classes[byte] if classes is not None else byte
            while True:
                entry = base[state]
                place = (entry & 0xFFFFFF) + symbol
                if check[place] == state:
                    state = after[place]
                    break
                state = default[state]
                if not entry & 0x80000000:  # else the default state is asked for the same byte
                    break
        return state

    def accepts(self, state: int) -> int:
        """The permissions of a state."""
        return self._tables[_ACCEPT][state]


class Policy:
    """The rules for files of a text's only profile."""

    def __init__(self, text: str, *options: str) -> None:
        binary = compiled(text, *options)
        at = binary.rfind(_BLOB)
        # the first automaton has the rules for what is no file, and may be the only one
        there = at > binary.find(_BLOB) or (at > 0 and _OTHER_RULES not in binary)
        self._files = Automaton(binary[binary.index(_MAGIC, at) :]) if there else None

    def allows(self, path: bytes) -> frozenset[str]:
        """The letters of what may be done with a path, of r w a x m k l."""
        if self._files is None:
            return frozenset()
        bits = self._files.accepts(self._files.ends_in(path)) >> _OTHER
        return frozenset(letter for bit, letter in LETTERS.items() if bits & bit)
