"""One setting: its default, what it is for, and how its value is read from TOML and from text.

Text is what environment variables and flags give. A kind's methods raise ValueError with
the end of a sentence: "must be ...".
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

__all__ = [
    "Duration",
    "Endpoint",
    "Kind",
    "Number",
    "PathName",
    "Setting",
    "Size",
    "Switch",
    "Text",
    "Texts",
    "Whole",
    "is_loopback",
    "setting",
    "setting_of",
    "size_text",
]

_SIZES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DURATIONS = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}


class Kind(Protocol):
    """What a setting's value may be."""

    @property
    def what(self) -> str:
        """What is expected, as the end of "must be"."""

    def of_text(self, text: str) -> Any:
        """The value that a text stands for; ValueError."""

    def of_toml(self, value: object) -> Any:
        """The value that TOML gave; ValueError."""

    def to_toml(self, value: Any) -> str:
        """The value as TOML."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text; `pattern`: what all of it must match."""

    what: str = "a text"
    pattern: str = r"(?s:.*)"

    def of_text(self, text: str) -> str:
        """As Kind.of_text."""
        if "\0" in text or not re.fullmatch(self.pattern, text):
            raise ValueError(f"must be {self.what}")
        return text

    def of_toml(self, value: object) -> str:
        """As Kind.of_toml."""
        if not isinstance(value, str):
            raise ValueError(f"must be {self.what}")
        return self.of_text(value)

    def to_toml(self, value: str) -> str:
        """As Kind.to_toml."""
        return _quoted(value)


class Endpoint(Text):
    """HOST:PORT, [IPV6]:PORT, or empty for none."""

    def __init__(self) -> None:
        port = r"(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
        super().__init__(
            'HOST:PORT such as "127.0.0.1:9464" or "[::1]:9464", or empty for none',
            rf"(?:(?:[0-9A-Za-z_.-]+|\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z_.-]+)?\]):{port})?",
        )


@dataclass(frozen=True, slots=True)
class PathName:
    """An absolute path; with `optional`, empty for none, which is None."""

    optional: bool = False

    @property
    def what(self) -> str:
        """As Kind.what."""
        return "an absolute path" + (", or empty for none" if self.optional else "")

    def of_text(self, text: str) -> Path | None:
        """As Kind.of_text."""
        if not text and self.optional:
            return None
        if not text.startswith("/") or "\0" in text:
            raise ValueError(f"must be {self.what}")
        return Path(text)

    def of_toml(self, value: object) -> Path | None:
        """As Kind.of_toml."""
        if not isinstance(value, str):
            raise ValueError(f"must be {self.what}")
        return self.of_text(value)

    def to_toml(self, value: Path | None) -> str:
        """As Kind.to_toml."""
        return _quoted(str(value) if value else "")


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within its ends."""

    least: int
    most: int

    @property
    def what(self) -> str:
        """As Kind.what."""
        return f"a whole number from {self.least:,} to {self.most:,}"

    def of_text(self, text: str) -> int:
        """As Kind.of_text."""
        if not re.fullmatch(r"[0-9]{1,20}", text):
            raise ValueError(f"must be {self.what}")
        return self.of_toml(int(text))

    def of_toml(self, value: object) -> int:
        """As Kind.of_toml."""
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            raise ValueError(f"must be {self.what}")
        return value

    def to_toml(self, value: int) -> str:
        """As Kind.to_toml."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Number:
    """A number within its ends, as float."""

    least: float
    most: float

    @property
    def what(self) -> str:
        """As Kind.what."""
        return f"a number from {self.least:g} to {self.most:g}"

    def of_text(self, text: str) -> float:
        """As Kind.of_text."""
        if not re.fullmatch(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", text):
            raise ValueError(f"must be {self.what}")
        return self.of_toml(float(text))

    def of_toml(self, value: object) -> float:
        """As Kind.of_toml."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"must be {self.what}")
        if not self.least <= value <= self.most:
            raise ValueError(f"must be {self.what}")
        return float(value)

    def to_toml(self, value: float) -> str:
        """As Kind.to_toml."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Switch:
    """Yes or no."""

    what: str = "true or false"

    def of_text(self, text: str) -> bool:
        """As Kind.of_text."""
        if text not in ("true", "false"):
            raise ValueError(f"must be {self.what}")
        return text == "true"

    def of_toml(self, value: object) -> bool:
        """As Kind.of_toml."""
        if not isinstance(value, bool):
            raise ValueError(f"must be {self.what}")
        return value

    def to_toml(self, value: bool) -> str:
        """As Kind.to_toml."""
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes, within their ends; `power`: of 2 alone. A bare number is bytes."""

    least: int
    most: int
    power: bool = False

    @property
    def what(self) -> str:
        """As Kind.what."""
        power = ", a power of 2" if self.power else ""
        return f'a size such as "16MiB", from {size_text(self.least)} to {size_text(self.most)}{power}'

    def of_text(self, text: str) -> int:
        """As Kind.of_text."""
        match = re.fullmatch(r"([0-9]{1,20})(?:\.([0-9]{1,3}))? ?([A-Za-z]*)", text)
        if not match or match[3] not in _SIZES:
            raise ValueError(f"must be {self.what} (units: {', '.join(filter(None, _SIZES))})")
        part = match[2] or ""
        scaled = int(match[1] + part) * _SIZES[match[3]]
        if scaled % 10 ** len(part):
            raise ValueError(f"must be {self.what}, and whole bytes")
        return self.of_toml(scaled // 10 ** len(part))

    def of_toml(self, value: object) -> int:
        """As Kind.of_toml."""
        if isinstance(value, str):
            return self.of_text(value)
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            raise ValueError(f"must be {self.what}")
        if self.power and value & (value - 1):
            raise ValueError(f"must be {self.what}")
        return value

    def to_toml(self, value: int) -> str:
        """As Kind.to_toml."""
        return f'"{size_text(value)}"'


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds within their ends, as float. A bare number is seconds."""

    least: float
    most: float

    @property
    def what(self) -> str:
        """As Kind.what."""
        return f'a duration such as "30s", from {_duration_text(self.least)} to {_duration_text(self.most)}'

    def of_text(self, text: str) -> float:
        """As Kind.of_text."""
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([a-z]*)", text)
        if not match or (match[2] or "s") not in _DURATIONS:
            raise ValueError(f"must be {self.what} (units: {', '.join(_DURATIONS)})")
        return self.of_toml(float(Fraction(match[1]) * _DURATIONS[match[2] or "s"]))

    def of_toml(self, value: object) -> float:
        """As Kind.of_toml."""
        if isinstance(value, str):
            return self.of_text(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError(f"must be {self.what}")
        if not self.least <= value <= self.most:
            raise ValueError(f"must be {self.what}")
        return float(value)

    def to_toml(self, value: float) -> str:
        """As Kind.to_toml."""
        text = _duration_text(value)
        return f'"{text}"' if self.of_text(text) == value else str(value)


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of texts; as one text, with commas between them."""

    each: Text = Text()

    @property
    def what(self) -> str:
        """As Kind.what."""
        return f"a list, each {self.each.what.removesuffix(', or empty for none')}"

    def of_text(self, text: str) -> tuple[str, ...]:
        """As Kind.of_text."""
        return self.of_toml([each.strip() for each in text.split(",") if each.strip()])

    def of_toml(self, value: object) -> tuple[str, ...]:
        """As Kind.of_toml."""
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise ValueError(f"must be {self.what}")
        return tuple(self.each.of_text(each) for each in value)

    def to_toml(self, value: tuple[str, ...]) -> str:
        """As Kind.to_toml."""
        return f"[{', '.join(self.each.to_toml(each) for each in value)}]"


def is_loopback(endpoint: str) -> bool:
    """Whether an `Endpoint`'s host is an address of the loopback, or localhost."""
    host = endpoint.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def size_text(size: int) -> str:
    """As a person writes it, without loss: 65536 is 64KiB."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return f"{size}B"


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's escapes, and DEL must be one too (TOML 1.0, "String")."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _duration_text(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting's description; `computed`: what the default is, where it depends on the machine."""

    name: str
    kind: Kind
    help: str
    flag: str
    computed: str = ""


def setting(
    kind: Kind,
    default: Any = MISSING,
    help: str = "",  # noqa: A002 -- argparse's word for it
    *,
    flag: str = "",
    factory: Callable[[], Any] | None = None,
    computed: str = "",
) -> Any:
    """A field of a section; `flag`: its command-line name where it is not --SECTION-NAME."""
    metadata = {"kind": kind, "help": help, "flag": flag, "computed": computed}
    if factory:
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


def setting_of(section: str, each: Field[Any]) -> Setting:
    """The description of a field that `setting` made."""
    data = each.metadata
    flag = data["flag"] or f"--{section}-{each.name}".replace("_", "-")
    return Setting(each.name, data["kind"], data["help"], flag, data["computed"])
