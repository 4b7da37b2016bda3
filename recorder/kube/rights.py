"""What the collector needs of the API server: docs/kubernetes.md says what each is for, deploy/ gives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recorder.profiles.api_group import GROUP

__all__ = ["NEEDED", "Right", "attributes_of"]


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs for a resource, or its subresource; `name`: of one object in its own namespace alone."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    name: str = ""


_OF_PROFILES = ("get", "list", "watch", "create", "patch", "delete")

NEEDED: tuple[Right, ...] = (
    Right(GROUP, "profilerecordings", ("get", "list", "watch", "patch")),
    Right(GROUP, "profilerecordings/status", ("patch",)),
    Right(GROUP, "seccompprofiles", _OF_PROFILES),
    Right(GROUP, "apparmorprofiles", _OF_PROFILES),
    Right(GROUP, "selinuxprofiles", _OF_PROFILES),
    Right(GROUP, "securityprofilesoperatordaemons", ("get", "list")),
    Right("admissionregistration.k8s.io", "mutatingwebhookconfigurations", ("get", "list")),
    Right("apiextensions.k8s.io", "customresourcedefinitions", ("get", "list")),
    Right("", "namespaces", ("list", "watch")),
    Right("", "pods", ("get",)),
    Right("", "events", ("create", "get", "patch")),
    Right("", "configmaps", ("get", "update"), name="recorder-ca"),
    Right("authentication.k8s.io", "tokenreviews", ("create",)),
    Right("authorization.k8s.io", "subjectaccessreviews", ("create",)),
)


def attributes_of(right: Right, namespace: str) -> Iterator[dict[str, str]]:
    """What is asked of a SubjectAccessReview for each verb; `namespace`: the collector's own."""
    resource, _, subresource = right.resource.partition("/")
    for verb in right.verbs:
        asked = {"group": right.group, "resource": resource, "verb": verb}
        if subresource:
            asked["subresource"] = subresource
        if right.name:
            asked |= {"namespace": namespace, "name": right.name}
        yield asked
