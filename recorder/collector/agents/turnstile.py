"""How often one address may ask: a bucket of tokens for each, in a table that is bounded."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import unquote

__all__ = ["Turnstile", "address_of"]

_IPV6_HOST = 64
"""Bits of an IPv6 address that are a network's: who has one has all of its addresses."""


class Turnstile:
    """Each address may ask `burst` times at once, and then `rate` times a second. `most` are remembered.

    The one that asked the longest ago is forgotten first.
    """

    def __init__(
        self, rate: float, burst: int, most: int = 8192, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._most = most
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, address: str) -> bool:
        """Whether it may ask now; it is counted if it may."""
        now = self._clock()
        left, since = self._left.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        admitted = left >= 1
        self._left[address] = (left - 1 if admitted else left, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return admitted


def address_of(peer: str) -> str:
    """Whose a call is, of gRPC's `ipv4:HOST:PORT` or `ipv6:[HOST]:PORT`; else the text itself, cut."""
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return peer[:64]
    if kind == "ipv4" or address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_HOST), strict=False))
