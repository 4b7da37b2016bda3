"""The folder of an authority, which may be shared by its key's user and those that read what is public.

::

    ca.pem       0600  key and certificate of the CA that signs (absent where they are mounted elsewhere)
    ca.crt       0644  what others are to trust: that CA first, then those before it, until they end
    server.pem   0600  the collector's own key and certificate

Each file is replaced as a whole. Key and certificate are one file, so that they are always of each other.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from recorder.identity.authority import Authority, Certificate
from recorder.model.errors import InvalidCertificate, StorageError

__all__ = ["KEY", "SERVER", "TRUSTED", "AuthorityFolder", "Mounted", "certificates_of", "write_whole"]

KEY, TRUSTED, SERVER = "ca.pem", "ca.crt", "server.pem"
MAX_BYTES = 1 << 20
MAX_TRUSTED = 16
"""CAs of one bundle; the oldest are left out."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Mounted:
    """A CA that somebody else makes and renews, such as cert-manager: PEM files."""

    certificate: Path
    key: Path


@dataclass(slots=True)
class AuthorityFolder:
    """Made by `open`. `authority`: the one that signs. `trusted`: CAs, that one first. Times are Unix time.

    All methods raise InvalidCertificate for files that make no sense, and StorageError for those that
    cannot be read or written.
    """

    path: Path
    authority: Authority
    trusted: tuple[Certificate, ...]
    mounted: Mounted | None = None

    @classmethod
    def open(cls, path: Path, now: float, *, life: float, mounted: Mounted | None = None) -> AuthorityFolder:
        """The folder (0700, made if missing) and its CA, made if there is none and none is mounted."""
        _make(path)
        authority = _mounted(mounted) if mounted else _own(path)
        if authority is None:
            authority = Authority.made(now, life)
            write_whole(path / KEY, authority.pem, 0o600)
        folder = cls(path, authority, _read_trusted(path / TRUSTED), mounted)
        folder._trust(authority, now)
        return folder

    @property
    def bundle(self) -> bytes:
        """What others are to trust, as PEM."""
        return b"".join(each.pem for each in self.trusted)

    def rotate(self, now: float, life: float) -> None:
        """From now on a new CA signs; the one before is trusted until it ends."""
        if self.mounted:
            raise InvalidCertificate(
                f"the CA in {self.mounted.certificate} is not this recorder's to replace: renew it where it"
                " is made"
            )
        authority = Authority.made(now, life)
        # trusted first: at no time is there a signature that nobody trusts
        self._trust(authority, now)
        write_whole(self.path / KEY, authority.pem, 0o600)
        self.authority = authority

    def look(self, now: float) -> bool:
        """Take up a mounted CA that has changed, and drop CAs that have ended; whether anything is other."""
        authority = self.authority
        if self.mounted:
            found = _mounted(self.mounted)
            if found.own != authority.own:
                authority = found
        before = self.trusted
        self._trust(authority, now)
        self.authority = authority
        return self.trusted != before

    def _trust(self, authority: Authority, now: float) -> None:
        own = authority.own
        earlier = [each for each in self.trusted if each != own and each.ends > now]
        trusted = (own, *earlier)[:MAX_TRUSTED]
        content = b"".join(each.pem for each in trusted)
        if _content(self.path / TRUSTED) != content:
            write_whole(self.path / TRUSTED, content, 0o644)
        self.trusted = trusted


def certificates_of(content: bytes, where: str) -> tuple[Certificate, ...]:
    """All certificates of a PEM text. InvalidCertificate."""
    return tuple(Certificate.parse(each + b"\n", where) for each in _PEM.findall(content))


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """The file has this content and mode, on disk, or is as it was before. StorageError."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with open(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)  # whatever the umask is
                file.write(content)
                file.flush()
                os.fsync(descriptor)
            new.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; its folder must be on a writable disk with room, and"
            " belong to the user of this process"
        ) from error


def _make(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path} for the CA: {error.strerror}") from error


def _own(path: Path) -> Authority | None:
    content = _content(path / KEY)
    return Authority.parse(content, content, str(path / KEY)) if content is not None else None


def _mounted(mounted: Mounted) -> Authority:
    certificate, key = _content(mounted.certificate), _content(mounted.key)
    for path, content in ((mounted.certificate, certificate), (mounted.key, key)):
        if content is None:
            raise StorageError(
                f"there is no {path}, and it is to be the CA's: mount it, or leave the setting empty"
            )
    return Authority.parse(key or b"", certificate or b"", f"{mounted.certificate} with {mounted.key}")


def _read_trusted(path: Path) -> tuple[Certificate, ...]:
    content = _content(path)
    return certificates_of(content, str(path)) if content else ()


def _content(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror}; it must be readable for the user of this process"
        ) from error
    if len(content) > MAX_BYTES:
        raise InvalidCertificate(f"{path} has more than {MAX_BYTES} bytes; is it the right file?")
    return content
