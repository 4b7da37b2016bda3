"""The ConfigMap by which agents and clients learn whom to trust: the collector's CA, under `ca.crt`."""

from __future__ import annotations

from lightkube import ApiError, AsyncClient
from lightkube.resources.core_v1 import ConfigMap

from recorder.kube.connection import FIELD_MANAGER, asking
from recorder.model.errors import PlatformUnreachable

__all__ = ["CA", "TrustMap"]

CA = "ca.crt"


class TrustMap:
    """Needs `get` and `update` of that one ConfigMap, which has to be there."""

    def __init__(self, client: AsyncClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    async def publish(self, certificates: str) -> bool:
        """Have it say this; whether it said something else before. PlatformUnreachable."""
        what = f"writing the CA into the ConfigMap {self._namespace}/{self._name}"
        try:
            with asking(what):
                found = await self._client.get(ConfigMap, self._name, namespace=self._namespace)
                data = dict(found.data or {})
                if data.get(CA) == certificates:
                    return False
                # with the version that was read: what somebody wrote meanwhile is not lost
                found.data = {**data, CA: certificates}
                await self._client.replace(found, field_manager=FIELD_MANAGER)
        except ApiError as error:
            raise PlatformUnreachable(f"{what}: {error}") from error
        return True
