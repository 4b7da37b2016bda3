"""Who a token belongs to and what they may read: TokenReview and SubjectAccessReview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightkube import ApiError, AsyncClient

from recorder.kube.connection import asking
from recorder.kube.resources import SubjectAccessReview, TokenReview
from recorder.model.errors import PlatformUnreachable
from recorder.model.person import Person
from recorder.profiles.api_group import GROUP

__all__ = ["MAX_TOKEN", "KubernetesAuthority", "review"]

MAX_TOKEN = 16 << 10
"""Bytes of a token; a longer one is nobody's, and not sent on."""


class KubernetesAuthority:
    """Asks the API server each time; who calls it keeps answers for as long as it wants.

    Its own service account needs `create` for tokenreviews and subjectaccessreviews.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def person(self, token: str) -> Person | None:
        """Who bears the token; None: nobody whom the API server knows. Raises PlatformUnreachable."""
        if not token or len(token) > MAX_TOKEN or not token.isascii():
            return None
        answer = await review(self._client, TokenReview, {"token": token})
        user = answer.get("user") or {}
        if not answer.get("authenticated") or not user.get("username"):
            return None
        extra = {key: tuple(values or ()) for key, values in (user.get("extra") or {}).items()}
        return Person(
            name=user["username"],
            uid=user.get("uid", ""),
            groups=tuple(user.get("groups") or ()),
            extra=tuple(sorted(extra.items())),
        )

    async def may_read(self, person: Person, namespace: str) -> bool:
        """Whether they may get ProfileRecordings in a namespace; "" asks for all namespaces."""
        attributes = {"verb": "get", "group": GROUP, "resource": "profilerecordings"}
        if namespace:
            attributes["namespace"] = namespace
        return await self._may(person, {"resourceAttributes": attributes})

    async def may_scrape(self, person: Person) -> bool:
        """Whether they may get the non-resource path /metrics."""
        return await self._may(person, {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}})

    async def _may(self, person: Person, asked: Mapping[str, Any]) -> bool:
        spec = {
            "user": person.name,
            "uid": person.uid,
            "groups": list(person.groups),
            "extra": {key: list(values) for key, values in person.extra},
            **asked,
        }
        answer = await review(self._client, SubjectAccessReview, spec)
        return bool(answer.get("allowed")) and not answer.get("denied")


async def review(client: AsyncClient, kind: Any, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of a review of that kind, as the API server answers it. Raises PlatformUnreachable."""
    what = f"asking for a {kind.__name__}"
    try:
        with asking(what):
            answer = await client.create(kind(metadata={}, spec=dict(spec)))
    except ApiError as error:  # a token that the server cannot even take apart is answered, not refused
        raise PlatformUnreachable(f"{what}: {error}") from error
    return answer.get("status") or {}
