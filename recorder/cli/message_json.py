"""An answer of an agent as JSON: protobuf's JSON mapping, for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from google.protobuf import json_format

if TYPE_CHECKING:
    from google.protobuf.message import Message


def print_json(message: Message) -> None:
    """On stdout: every field, keys sorted, 64-bit numbers as strings (the mapping's rule), ASCII alone.

    ASCII since texts of containers may hold what a terminal would obey.
    """
    print(json.dumps(_mapping(message), indent=2, sort_keys=True))


def json_line(message: Message) -> str:
    """The same as one line: for a stream of messages."""
    return json.dumps(_mapping(message), sort_keys=True)


def _mapping(message: Message) -> dict[str, object]:
    mapping: dict[str, object] = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return mapping
