"""Another recorder in the same cluster: that of the Security Profiles Operator.

It works where its webhook for pods is installed, or where a daemon of it has a recorder or an
enricher switched on. Then a recording is its own, unless it says that it is ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from lightkube import ApiError, AsyncClient

from recorder.kube.connection import asking, is_missing
from recorder.kube.resources import DAEMONS, MutatingWebhookConfiguration
from recorder.model.errors import PlatformUnreachable
from recorder.profiles.annotations import PREFIX
from recorder.profiles.result_marks import OWNER

__all__ = ["CHOICE", "OURS", "Neighbour"]

log = logging.getLogger(__name__)

CHOICE = f"{PREFIX}/recorder"
"""A recording's annotation that says whose it is."""
OURS = OWNER

_WEBHOOK = "recording.spo.io"
_SWITCHES = ("enableBpfRecorder", "enableLogEnricher", "enableJsonEnricher")
_SECONDS = 60.0


class Neighbour:
    """Run `run` as a task. `known`: whether it has been looked at, so that nothing is taken too soon."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._evidence = ""
        self.known = False

    @property
    def records(self) -> bool:
        """Whether there is one that records."""
        return bool(self._evidence)

    @property
    def message(self) -> str:
        """What a person is told whose recording is left to it."""
        return (
            f"left to the recorder of the Security Profiles Operator ({self._evidence}); to have it done by"
            f" this recorder: kubectl annotate profilerecording NAME {CHOICE}={OURS}"
        )

    def yields(self, annotations: Mapping[str, str]) -> bool:
        """Whether a recording with these annotations is ours nevertheless."""
        return annotations.get(CHOICE) == OURS

    async def run(self, changed: Callable[[], None]) -> None:
        """Look now and then, until cancelled."""
        while True:
            try:
                evidence = await self.look()
            except (PlatformUnreachable, ApiError) as error:
                log.warning("kubernetes: %s", error)
                await asyncio.sleep(_SECONDS / 30)
                continue
            news = evidence != self._evidence or not self.known
            self._evidence, self.known = evidence, True
            if news:
                changed()
            await asyncio.sleep(_SECONDS)

    async def look(self) -> str:
        """What shows that there is one that records; empty: nothing. PlatformUnreachable, ApiError."""
        return await self._webhook() or await self._daemon()

    async def _webhook(self) -> str:
        for each in await self._all(MutatingWebhookConfiguration):
            for webhook in each.get("webhooks") or []:
                if webhook.get("name") == _WEBHOOK and webhook.get("rules"):
                    return f"webhook {_WEBHOOK} in {each['metadata']['name']}"
        return ""

    async def _daemon(self) -> str:
        for resource in DAEMONS:
            try:
                found = await self._all(resource, namespace="*")
            except ApiError as error:
                if is_missing(error):  # its kind is not installed, or not in that version
                    continue
                raise
            for each in found:
                spec: dict[str, Any] = each.get("spec") or {}
                switches = {**spec, **(spec.get("enricher") or {})}  # v1alpha1 has them in spec itself
                for switch in _SWITCHES:
                    if switches.get(switch):
                        return f"{switch} of {each['metadata']['namespace']}/{each['metadata']['name']}"
        return ""

    async def _all(self, resource: Any, **where: Any) -> list[Any]:
        with asking("looking for another recorder"):
            return [each async for each in self._client.list(resource, **where)]
