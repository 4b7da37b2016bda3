"""What each profile made of an AppArmorProfile object allows beside its own lists.

An installer adds abstractions/base of the node, which is not known here: this is the least that those
of AppArmor 2.13 to 4 have in common and that almost every program uses. What else one of them has is
taken for lacking.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from recorder.profiles.apparmor_allowance import Allowance
from recorder.profiles.apparmor_source import profile_source

__all__ = ["LEAST", "least_allowance"]

LEAST: Final = """profile "" {
  /dev/{full,null,zero} rw,
  /dev/{random,urandom} r,
  /etc/ld.so.cache mr,
  /etc/{ld.so.preload,locale.alias,localtime} r,
  /{usr/,}lib{,32,64}/** r,
  /{usr/,}lib{,32,64}/**.so* mr,
  /usr/share/{locale,zoneinfo}/** r,
  /proc/{cpuinfo,filesystems,meminfo,stat} r,
  /sys/devices/system/cpu/{,online} r,
  ptrace (readby, tracedby),
  ptrace (read) peer=@{profile_name},
  signal (send, receive) peer=@{profile_name},
  signal (receive) peer=unconfined,
}
"""


@lru_cache(maxsize=1)
def least_allowance() -> Allowance:
    """Return LEAST, to be asked."""
    return Allowance("", profile_source(LEAST, None))
