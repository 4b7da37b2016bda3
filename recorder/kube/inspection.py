"""`recorder check --cluster`: what of a cluster decides whether a collector can work in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from lightkube import ApiError, AsyncClient
from lightkube.resources.core_v1 import ConfigMap

from recorder.kube.connection import asking, is_missing
from recorder.kube.neighbour import CHOICE, OURS, Neighbour
from recorder.kube.resources import (
    PROFILES,
    VERSION,
    CustomResourceDefinition,
    ProfileRecording,
    SelfSubjectAccessReview,
    SubjectAccessReview,
)
from recorder.kube.reviews import review
from recorder.kube.rights import NEEDED, Right, attributes_of
from recorder.kube.trust import CA
from recorder.model.errors import PlatformUnreachable
from recorder.model.finding import Finding
from recorder.model.recording import ProfileKind
from recorder.profiles.result_marks import OWNER

__all__ = ["Account", "inspect"]

NAME_LABEL = "app.kubernetes.io/name"
"""On our own definitions (deploy/crds) it says whose they are."""
MAP = "recorder-ca"

Account = tuple[str, str]
"""A service account: its namespace and name."""

_NEEDED_KINDS = ("ProfileRecording", "SeccompProfile")


async def inspect(client: AsyncClient, account: Account | None = None) -> list[Finding]:
    """All points. `account`: whose rights are asked for; None: those of who asks.

    PlatformUnreachable if the API server cannot be asked at all.
    """
    namespace = account[0] if account else client.namespace
    kinds = [each async for each in _kinds(client)]
    return [
        *kinds,
        await _other_recorder(client),
        await _rights(client, account, namespace),
        await _ca(client, namespace),
    ]


async def _kinds(client: AsyncClient) -> AsyncIterator[Finding]:
    resources = (ProfileRecording, *(PROFILES[each] for each in ProfileKind))
    for each in resources:
        info = each._api_info
        kind, name = info.resource.kind, f"{info.plural}.{info.resource.group}"
        needed = kind in _NEEDED_KINDS
        what = f"reading the CustomResourceDefinition {name}"
        try:
            with asking(what):
                found = await client.get(CustomResourceDefinition, name)
        except ApiError as error:
            if not is_missing(error):
                raise PlatformUnreachable(f"{what}: {error}") from error
            yield Finding(f"kind {kind}", False, needed, "not installed", "kubectl apply -k deploy/crds")
            continue
        served = [each["name"] for each in found["spec"]["versions"] if each.get("served")]
        yield Finding(
            f"kind {kind}",
            VERSION in served,
            needed,
            f"served as {', '.join(served) or 'nothing'}; {_owner(found)}",
            f"{VERSION} is needed: install the Security Profiles Operator 1.0 or newer, or deploy/crds",
        )


def _owner(definition: Mapping[str, Any]) -> str:
    """Whose a CustomResourceDefinition is, by what its installers leave on it."""
    metadata = definition["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    conversion = definition["spec"].get("conversion") or {}
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if conversion.get("strategy") == "Webhook" and service:
        return f"of the Security Profiles Operator (converted by {service['namespace']}/{service['name']})"
    if labels.get(NAME_LABEL) == OWNER:
        return "of this recorder (deploy/crds)"
    release = annotations.get("meta.helm.sh/release-name")
    if release:
        return f"of the Helm release {annotations.get('meta.helm.sh/release-namespace', '')}/{release}"
    if labels.get("olm.managed"):
        return "of the Operator Lifecycle Manager"
    managers = {each.get("manager", "") for each in metadata.get("managedFields") or ()}
    return f"not of this recorder (written by {', '.join(sorted(managers)) or 'somebody'})"


async def _other_recorder(client: AsyncClient) -> Finding:
    evidence = await Neighbour(client).look()
    return Finding(
        "other recorder",
        not evidence,
        False,
        f"the Security Profiles Operator records: {evidence}" if evidence else "none",
        "recordings are left to it; to have one done by this recorder: kubectl annotate profilerecording NAME"
        f" {CHOICE}={OURS}",
    )


async def _rights(client: AsyncClient, account: Account | None, namespace: str) -> Finding:
    missing = []
    for right in NEEDED:
        refused = [
            asked["verb"]
            for asked in attributes_of(right, namespace)
            if not await _may(client, account, asked)
        ]
        if refused:
            missing.append(f"{', '.join(refused)} {_named(right)}")
    whose = f"of {account[0]}/{account[1]}" if account else "of who asks"
    return Finding(
        f"rights {whose}",
        not missing,
        True,
        f"missing: {'; '.join(missing)}" if missing else "all that the collector needs",
        "kubectl apply -k deploy/ gives them; docs/kubernetes.md says what each is for",
    )


async def _may(client: AsyncClient, account: Account | None, attributes: Mapping[str, str]) -> bool:
    spec: dict[str, Any] = {"resourceAttributes": dict(attributes)}
    kind = SelfSubjectAccessReview
    if account:
        kind = SubjectAccessReview
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}", "system:authenticated"]
        spec |= {"user": f"system:serviceaccount:{account[0]}:{account[1]}", "groups": groups}
    return bool((await review(client, kind, spec)).get("allowed"))


def _named(right: Right) -> str:
    resource = f"{right.resource}.{right.group}" if right.group else right.resource
    return f"{resource} {right.name}" if right.name else resource


async def _ca(client: AsyncClient, namespace: str) -> Finding:
    what = f"reading the ConfigMap {namespace}/{MAP}"
    remedy = "it is written by a collector with an enrolment.address; kubectl apply -k deploy/ makes both"
    try:
        with asking(what):
            found = await client.get(ConfigMap, MAP, namespace=namespace)
    except (ApiError, PlatformUnreachable) as error:
        missing = is_missing(error)
        said = f"there is no ConfigMap {namespace}/{MAP}" if missing else str(error)
        return Finding("CA", False, False, said, remedy)
    count = ((found.data or {}).get(CA) or "").count("-----BEGIN CERTIFICATE-----")
    said = f"{count} certificates in {namespace}/{MAP}" if count else f"{namespace}/{MAP} is empty"
    return Finding("CA", count > 0, False, said, remedy)
