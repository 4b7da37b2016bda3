"""The API group of recordings and profiles."""

from typing import Final

__all__ = ["GROUP"]

GROUP: Final = "security-profiles-operator.x-k8s.io"
