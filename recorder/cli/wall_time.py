"""Times as people read them: UTC to the second (RFC 3339)."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(unix_ns: int) -> str:
    """A Unix time in ns; empty if there is no such year."""
    try:
        moment = datetime.fromtimestamp(unix_ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def wall_time(time_ns: int, wall_offset_ns: int) -> str:
    """A node's CLOCK_BOOTTIME; empty if it, or the node's clock, is not known."""
    return utc(time_ns + wall_offset_ns) if time_ns and wall_offset_ns else ""
