"""What `recorder certs` does: each action with its options. Imports the library for certificates."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from recorder.collector.agents.node_names import DEFAULT_PATTERNS, PLACE
from recorder.identity.authority import Certificate, Key, Purpose, key_pem, new_key, requested_key
from recorder.identity.authority_folder import KEY, TRUSTED, AuthorityFolder, write_whole
from recorder.model.errors import InvalidSettings, UsageError
from recorder.rpc.names import is_subdomain, shown

__all__ = ["init", "issue", "rotate"]

DAY = 86_400.0


def init(options: argparse.Namespace) -> None:
    """A new CA, where there is none."""
    folder: Path = options.folder
    if (folder / KEY).exists():
        raise UsageError(
            f"{folder} has a CA already: recorder certs rotate {folder} makes another one beside it"
        )
    opened = AuthorityFolder.open(folder, time.time(), life=_life(options))
    print(f"{folder / KEY}: the CA's key, for whoever signs; keep it from others")
    print(f"{folder / TRUSTED}: its certificate, for agents (collector.ca), collectors and clients")
    _print_end(opened.authority.own)


def issue(options: argparse.Namespace) -> None:
    """A certificate, and a new key unless somebody asks for the signature of theirs."""
    opened = _open(options.folder)
    names, purpose = _asked(options)
    if (options.request is None) == (options.key is None):
        raise UsageError("give --key, for a new key, or --request, for one that is elsewhere")
    made: Key | None = None
    if options.request is not None:
        public = requested_key(_read(options.request))
    else:
        made = new_key()
        public = made.public_key()
    certificate = opened.authority.sign(public, names, purpose, time.time(), _life(options))
    if made is not None:
        write_whole(options.key, key_pem(made), 0o600)
        print(f"{options.key}: the key")
    write_whole(options.output, certificate.pem, 0o644)
    print(f"{options.output}: the certificate of {', '.join(names)}")
    _print_end(certificate)


def rotate(options: argparse.Namespace) -> None:
    """A new CA beside the old one."""
    opened = _open(options.folder)
    opened.rotate(time.time(), _life(options))
    trusted = options.folder / TRUSTED
    print(f"{trusted} has {len(opened.trusted)} CAs now; in this order nothing is interrupted:")
    print("1. copy it to all agents, collectors and clients, in the place of the old one")
    print("2. issue new certificates, before the old CA ends")
    _print_end(opened.authority.own)


def _open(folder: Path) -> AuthorityFolder:
    if not (folder / KEY).exists():
        raise UsageError(f"{folder} has no CA: recorder certs init {folder} makes one")
    return AuthorityFolder.open(folder, time.time(), life=0)


def _asked(options: argparse.Namespace) -> tuple[list[str], Purpose]:
    if options.client and (options.node or options.server):
        raise UsageError("--client is for people and programs: give it a certificate of its own")
    if options.client:
        return options.client, Purpose.CLIENT
    names: list[str] = list(options.server)
    if options.node:
        if not is_subdomain(options.node):
            raise InvalidSettings(
                f"{shown(options.node)} is no node's name: expected are DNS labels in lower case"
            )
        names.insert(0, DEFAULT_PATTERNS[0].replace(PLACE, options.node))
    if not names:
        raise UsageError("say whom it is for: --node NODE, --server NAME or --client NAME")
    if options.node and options.server:
        return names, Purpose.BOTH
    return names, Purpose.CLIENT if options.node else Purpose.SERVER


def _life(options: argparse.Namespace) -> float:
    if not 1 <= options.days <= 36_500:
        raise UsageError(f"--days is {options.days}; it must be from 1 to 36,500")
    return float(options.days) * DAY


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _print_end(certificate: Certificate) -> None:
    print(f"it ends {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(certificate.ends))}")
