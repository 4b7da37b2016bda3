"""The kinds that the recorder reads and writes, as lightkube wants them declared."""

from __future__ import annotations

from typing import Any

from lightkube.generic_resource import create_global_resource, create_namespaced_resource

from recorder.model.recording import ProfileKind
from recorder.profiles.api_group import GROUP

__all__ = [
    "DAEMONS",
    "PROFILES",
    "VERSION",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ProfileRecording",
    "SelfSubjectAccessReview",
    "SubjectAccessReview",
    "TokenReview",
]

VERSION = "v1"

ProfileRecording: Any = create_namespaced_resource(GROUP, VERSION, "ProfileRecording", "profilerecordings")
PROFILES: dict[ProfileKind, Any] = {
    ProfileKind.SECCOMP: create_global_resource(GROUP, VERSION, "SeccompProfile", "seccompprofiles"),
    ProfileKind.APPARMOR: create_global_resource(GROUP, VERSION, "AppArmorProfile", "apparmorprofiles"),
    ProfileKind.SELINUX: create_global_resource(GROUP, VERSION, "SelinuxProfile", "selinuxprofiles"),
}

DAEMONS: tuple[Any, ...] = tuple(
    create_namespaced_resource(
        GROUP, version, "SecurityProfilesOperatorDaemon", "securityprofilesoperatordaemons"
    )
    for version in ("v1", "v1alpha1")  # newest first
)
"""SPO's own configuration, in each version in which it may be served."""
MutatingWebhookConfiguration: Any = create_global_resource(
    "admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"
)
TokenReview: Any = create_global_resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews")
CustomResourceDefinition: Any = create_global_resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
)
SelfSubjectAccessReview: Any = create_global_resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"
)
SubjectAccessReview: Any = create_global_resource(
    "authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews"
)
