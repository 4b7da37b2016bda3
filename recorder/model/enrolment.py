"""What the platform says of a token by which an agent asks for its node's certificate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["NotVouched", "Refusal", "Vouched"]


class Refusal(StrEnum):
    """Why a token does not make its bearer a node's agent."""

    TOKEN = "token"  # noqa: S105 -- nobody's, expired, or for another audience
    ACCOUNT = "account"  # of another service account, or namespace
    UNBOUND = "unbound"  # of no pod
    POD = "pod"  # its pod is gone, or another one has its name now
    OWNER = "owner"  # its pod is not of the agents' DaemonSet
    NODE = "node"  # its pod is on no node yet


@dataclass(frozen=True, slots=True)
class Vouched:
    """The bearer is the agent of this node."""

    node: str
    pod: str


@dataclass(frozen=True, slots=True)
class NotVouched:
    """It is not; `message` is for the log, and for the bearer."""

    refusal: Refusal
    message: str
