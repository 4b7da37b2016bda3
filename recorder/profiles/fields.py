"""Reading an object that a person or another program wrote: typed fields, errors with their path."""

from __future__ import annotations

from collections.abc import Iterable

from recorder.model.errors import InvalidProfile

__all__ = ["Fields"]


class Fields:
    """An object's fields, each taken at most once; what is left over is unknown.

    Every error is InvalidProfile and begins with the field's path, as
    `spec.syscalls[2].names[0]`. A field that is null counts as absent.
    """

    __slots__ = ("_left", "path")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise InvalidProfile(f"{path or 'the profile'}: expected an object, got {_shown(value)}")
        self.path = path
        self._left: dict[object, object] = {key: each for key, each in value.items() if each is not None}

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def text(self, name: str, allowed: Iterable[str] | None = None, default: str | None = None) -> str:
        """Return a string, one of `allowed` if given; required without a default."""
        value = self._take(name, default)
        return _text(value, self.at(name), allowed)

    def texts(
        self, name: str, allowed: Iterable[str] | None = None, *, filled: bool = False
    ) -> tuple[str, ...]:
        """Return a list of strings in its own order; empty if absent, unless it must be `filled`."""
        value = self._list(name, filled=filled)
        return tuple(_text(each, f"{self.at(name)}[{n}]", allowed) for n, each in enumerate(value))

    def integer(self, name: str, maximum: int, default: int | None = None) -> int:
        """Return an integer from 0 to `maximum`; required without a default."""
        value = self._take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise InvalidProfile(
                f"{self.at(name)}: expected a number from 0 to {maximum}, got {_shown(value)}"
            )
        return value

    def optional_integer(self, name: str, maximum: int) -> int | None:
        """Return an integer from 0 to `maximum`, or None if absent."""
        return self.integer(name, maximum) if name in self._left else None

    def table(self, name: str) -> dict[str, str]:
        """Return an object whose values are strings; empty if absent."""
        value = self._take(name, {})
        if not isinstance(value, dict):
            raise InvalidProfile(f"{self.at(name)}: expected an object, got {_shown(value)}")
        return {
            _text(key, f"a key of {self.at(name)}"): _text(each, f"{self.at(name)}[{key}]")
            for key, each in value.items()
        }

    def child(self, name: str) -> Fields:
        """Return a required object."""
        return Fields(self._take(name, None), self.at(name))

    def optional_child(self, name: str) -> Fields:
        """Return an object; an empty one if it is absent."""
        return Fields(self._take(name, {}), self.at(name))

    def flag(self, name: str) -> bool:
        """Return true or false; false if absent."""
        value = self._take(name, False)
        if not isinstance(value, bool):
            raise InvalidProfile(f"{self.at(name)}: expected true or false, got {_shown(value)}")
        return value

    def objects(self) -> dict[str, Fields]:
        """Return all fields that are left, each an object, by name."""
        return {name: self.child(name) for name in self._names()}

    def lists(self) -> dict[str, tuple[str, ...]]:
        """Return all fields that are left, each a list of strings, by name."""
        return {name: self.texts(name) for name in self._names()}

    def _names(self) -> list[str]:
        return [_text(name, f"a key of {self.path}") for name in self._left]

    def children(self, name: str) -> list[Fields]:
        """Return a list of objects; empty if absent."""
        return [Fields(each, f"{self.at(name)}[{n}]") for n, each in enumerate(self._list(name))]

    def ignore(self, *names: str) -> None:
        """Leave fields unread that may be there."""
        for name in names:
            self._left.pop(name, None)

    def end(self, hint: str = "") -> None:
        """Refuse what was not taken."""
        if self._left:
            unknown = ", ".join(sorted(self.at(str(each)) for each in self._left))
            raise InvalidProfile(f"{unknown}: unknown field{hint}")

    def _take(self, name: str, default: object) -> object:
        value = self._left.pop(name, default)
        if value is None:
            raise InvalidProfile(f"{self.at(name)}: missing")
        return value

    def _list(self, name: str, *, filled: bool = False) -> list[object]:
        value = self._take(name, None if filled else [])
        if not isinstance(value, list):
            raise InvalidProfile(f"{self.at(name)}: expected a list, got {_shown(value)}")
        if filled and not value:
            raise InvalidProfile(f"{self.at(name)}: must not be empty")
        return value


def _text(value: object, path: str, allowed: Iterable[str] | None = None) -> str:
    if not isinstance(value, str):
        quote = "; quote it, YAML reads it as something else" if isinstance(value, bool | int | float) else ""
        raise InvalidProfile(f"{path}: expected a string, got {_shown(value)}{quote}")
    if allowed is not None and value not in allowed:
        raise InvalidProfile(f"{path}: {value!r} is none of {', '.join(allowed)}")
    return value


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"{type(value).__name__} {str(value)[:40]!r}"
