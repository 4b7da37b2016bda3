"""The files that AppArmor's text includes, on this machine."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ApparmorFolder"]


@dataclass(frozen=True, slots=True)
class ApparmorFolder:
    """As PolicyFiles. base: the folder of what is included in <>, as apparmor_parser's --base."""

    base: Path

    def read(self, name: str, *, below: bool, maximum: int) -> str | tuple[str, ...] | None:
        """As PolicyFiles.read. Devices and pipes are no files here."""
        path = self.base / name.lstrip("/") if below else Path(name)
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                return tuple(os.listdir(path))
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "neither a file nor a folder")
            with path.open("rb") as file:
                content = file.read(maximum + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:  # a NUL in the name
            raise OSError(errno.EINVAL, str(error)) from error
        if len(content) > maximum:
            raise OSError(errno.EFBIG, f"more than {maximum} bytes are left to be read")
        return content.decode("utf-8", "surrogateescape")
