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
    mapping = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    print(json.dumps(mapping, indent=2, sort_keys=True))
