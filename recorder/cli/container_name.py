"""How a container is called in lines and tables: its texts are data of others, and escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.cli.escape import escape

if TYPE_CHECKING:
    from recorder.model.record import Identity

SHORT_ID = 12
"""Characters of a container's id that are shown, as container runtimes do."""


def container_name(identity: Identity) -> str:
    """Like `namespace/pod/container`; a name, a short id or a cgroup's path where that is all there is."""
    name = identity.name or identity.container_id[:SHORT_ID]
    if identity.pod:
        parts = (identity.pod.namespace, identity.pod.name, name or "?")
        return "/".join(escape(part) for part in parts)
    return escape(name or identity.cgroup_path or "?")
