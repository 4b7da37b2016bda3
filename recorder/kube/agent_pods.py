"""Whether the bearer of a token is an agent's pod, and on which node: what the API server says.

A projected token is bound to its pod (TokenReview tells the pod's name and uid); the pod's spec
says where it runs. Nothing that the bearer says counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightkube import ApiError, AsyncClient
from lightkube.resources.core_v1 import Pod as PodResource

from recorder.kube.connection import asking, is_missing
from recorder.kube.resources import TokenReview
from recorder.kube.reviews import MAX_TOKEN, review
from recorder.model.enrolment import NotVouched, Refusal, Vouched
from recorder.model.errors import PlatformUnreachable
from recorder.rpc.names import is_subdomain, shown

__all__ = ["AgentPods", "AgentsAre"]

_POD_NAME, _POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True, slots=True)
class AgentsAre:
    """Which pods are agents: those of a DaemonSet, with its service account, in a namespace.

    audience: the one that their tokens are for, and no others.
    """

    namespace: str
    service_account: str
    daemon_set: str
    audience: str


class AgentPods:
    """Asks the API server each time: `create` for tokenreviews, `get` for pods of the namespace."""

    def __init__(self, client: AsyncClient, agents: AgentsAre) -> None:
        self._client = client
        self._agents = agents

    async def vouch(self, token: str) -> Vouched | NotVouched:
        """Whose agent the bearer is. PlatformUnreachable while it cannot be asked."""
        if not token or len(token) > MAX_TOKEN or not token.isascii():
            return NotVouched(Refusal.TOKEN, "there is no token, or it is no token of Kubernetes")
        agents = self._agents
        spec = {"token": token, "audiences": [agents.audience]}
        answer = await review(self._client, TokenReview, spec)
        if not answer.get("authenticated") or agents.audience not in (answer.get("audiences") or ()):
            return NotVouched(
                Refusal.TOKEN,
                f"the API server does not know the token for the audience {agents.audience}: it is wrong, has"
                " expired, is for another audience, or its pod is gone",
            )
        user = answer.get("user") or {}
        expected = f"system:serviceaccount:{agents.namespace}:{agents.service_account}"
        if user.get("username") != expected:
            return NotVouched(
                Refusal.ACCOUNT, f"the token is of {shown(user.get('username'))}; agents are {expected}"
            )
        extra = user.get("extra") or {}
        name, uid = _only(extra.get(_POD_NAME)), _only(extra.get(_POD_UID))
        if not name or not uid:
            return NotVouched(
                Refusal.UNBOUND, "the token is bound to no pod: an agent's is projected into its pod"
            )
        return await self._vouch_for(name, uid)

    async def _vouch_for(self, name: str, uid: str) -> Vouched | NotVouched:
        agents = self._agents
        what = f"reading the pod {agents.namespace}/{name}"
        try:
            with asking(what):
                pod = await self._client.get(PodResource, name, namespace=agents.namespace)
        except ApiError as error:
            if is_missing(error):
                return NotVouched(Refusal.POD, f"there is no pod {agents.namespace}/{name} any more")
            raise PlatformUnreachable(f"{what}: {error}") from error
        metadata = pod.metadata
        if metadata is None or metadata.uid != uid:
            return NotVouched(Refusal.POD, f"the pod {agents.namespace}/{name} is another one by now")
        owners = [
            each
            for each in metadata.ownerReferences or ()
            if each.controller and each.kind == "DaemonSet" and each.apiVersion == "apps/v1"
        ]
        if [each.name for each in owners] != [agents.daemon_set]:
            return NotVouched(
                Refusal.OWNER,
                f"the pod {agents.namespace}/{name} is not of the DaemonSet {agents.daemon_set}",
            )
        node = (pod.spec.nodeName if pod.spec else None) or ""
        if not is_subdomain(node):
            return NotVouched(Refusal.NODE, f"the pod {agents.namespace}/{name} is on no node")
        return Vouched(node, name)


def _only(values: Any) -> str:
    return str(values[0]) if isinstance(values, list) and len(values) == 1 else ""
