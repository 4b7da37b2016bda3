"""Write deploy/crds from the schemas below: python scripts/generate_crds.py.

The API group is that of the Security Profiles Operator (SPO), 1.0: names, scopes, fields, enums, defaults
and limits are SPO's, so that a manifest, dashboard or GitOps repository that was made for SPO works
unchanged, and SPO's own definitions may take the place of these. Two things are ours:

- ProfileRecording's enums hold the spellings of v1 and of v1alpha1, in one schema for both versions. SPO
  converts by a webhook; without one, an object stored as `bpf` could not get a status through v1 if that had
  v1's enums alone.
- ProfileRecording's status has conditions, results, denials and the ledger, and columns that show them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]

GROUP = "security-profiles-operator.x-k8s.io"
FOLDER = Path(__file__).parent.parent / "deploy/crds"
HEADER = "# Written by scripts/generate_crds.py, which says why: change it there.\n"

ACTIONS = ["KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP", "ERRNO", "TRACE", "ALLOW", "LOG", "NOTIFY"]
ARCHITECTURES = [
    *("NATIVE", "X86", "X86_64", "X32", "ARM", "AARCH64"),
    *("MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32"),
    *("PPC", "PPC64", "PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64"),
]
FLAGS = ["TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV"]
OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
PROFILE_STATES = ["Partial", "Disabled", "Pending", "InProgress", "Installed", "Terminating", "Error"]
PROFILE_KINDS = ["SeccompProfile", "SelinuxProfile", "AppArmorProfile"]

# --- words of a structural schema


def text(description: str = "", **more: Any) -> Schema:
    """A string."""
    return {"type": "string", **({"description": description} if description else {}), **more}


def word(values: list[str], description: str = "", prefix: str = "", **more: Any) -> Schema:
    """One of these."""
    return text(description, enum=[f"{prefix}{value}" for value in values], **more)


def flag(description: str, **more: Any) -> Schema:
    """A boolean."""
    return {"type": "boolean", "description": description, **more}


def number(description: str, **more: Any) -> Schema:
    """An integer that is not negative."""
    return {"type": "integer", "minimum": 0, "description": description, **more}


def table(description: str, required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object with these properties."""
    return {
        "type": "object",
        "description": description,
        **({"required": list(required)} if required else {}),
        "properties": properties,
    }


def items(kind: str, of: Schema, description: str, **more: Any) -> Schema:
    """A list; `kind`: atomic (replaced as a whole), set (merged by value), "" for none (as atomic)."""
    listed = {"x-kubernetes-list-type": kind} if kind else {}
    return {"type": "array", "description": description, "items": of, **listed, **more}


def keyed(key: str, of: Schema, description: str) -> Schema:
    """A list that is merged by a key of its items."""
    return items("map", of, description, **{"x-kubernetes-list-map-keys": [key]})


def texts(description: str) -> Schema:
    """A set of strings."""
    return items("set", text(), description)


# --- parts that several kinds have


def conditions(description: str) -> Schema:
    """A list of metav1.Condition, with its limits."""
    condition = table(
        "One aspect of the object's state.",
        ("lastTransitionTime", "message", "reason", "status", "type"),
        lastTransitionTime=text("When the status last changed.", format="date-time"),
        message=text("For a person: what it is, and what can be done.", maxLength=32768),
        observedGeneration=number("The metadata.generation that it was set for.", format="int64"),
        reason=text(
            "For a program: why, as one CamelCase word.",
            minLength=1,
            maxLength=1024,
            pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        ),
        status=word(["True", "False", "Unknown"], "Whether it holds."),
        type=text(
            "Which aspect.",
            maxLength=316,
            pattern="^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    )
    return keyed("type", condition, description)


def profile_state() -> Schema:
    """`spec.state` of each kind of profile."""
    return word(
        ["Enabled", "Disabled"], "A disabled profile is not installed on the nodes.", default="Enabled"
    )


def profile_status(**more: Schema) -> Schema:
    """`status` of each kind of profile."""
    return table(
        "How far the profile is installed; written by who installs it.",
        conditions=conditions("The installation's aspects."),
        status=word(PROFILE_STATES, "The profile's state over all nodes."),
        **more,
    )


def label_selector(description: str) -> Schema:
    """metav1.LabelSelector."""
    requirement = table(
        "A requirement on one label.",
        ("key", "operator"),
        key=text("The label's key."),
        operator=text("In, NotIn, Exists or DoesNotExist."),
        values=items("atomic", text(), "For In and NotIn at least one; else none."),
    )
    return {
        **table(
            description,
            matchExpressions=items("atomic", requirement, "Requirements, all of which must hold."),
            matchLabels={
                "type": "object",
                "description": "Labels with their values, all of which a pod must have.",
                "additionalProperties": text(),
            },
        ),
        "x-kubernetes-map-type": "atomic",
    }


# --- the kinds


def profile_recording() -> Schema:
    """ProfileRecording."""
    result = table(
        "A profile that this recording makes.",
        ("kind", "name"),
        kind=text("The kind of the profile."),
        name=text("The profile's name."),
        container=text("The name of the containers whose calls it holds."),
        state=text("Whether it still grows: recording, final."),
        syscalls=number("How many system calls it allows; of SeccompProfiles."),
        rules=number("How many rules it has; of the other kinds."),
        denied=number("How many different calls were refused to the workload while it was recorded."),
        coverage=number("How many records were merged into it."),
        verdict=text("complete, or lossy with what was lost."),
    )
    loss = table(
        "A cause of loss, or a note.",
        ("cause", "count"),
        cause=text("Its name in the recorder's table of causes."),
        count=number("How often.", format="int64"),
    )
    denial = table(
        "Something that a seccomp filter, AppArmor or SELinux denied, whatever the object was.",
        ("container", "kind", "verdict", "what"),
        container=text("The name of the containers that were denied it."),
        kind=text("Who denied it: seccomp, apparmor, selinux; rest for those that are only counted."),
        verdict=text("denied, killed; allowed in complain or permissive mode; audited by a rule."),
        what=text("A system call, or an operation or class with its permissions."),
        count=number("How often; absent for system calls, which are not counted.", format="int64"),
        records=number("In how many records it was seen."),
    )
    return table(
        "Records what the containers of some pods do, and makes profiles of that.",
        ("spec",),
        **root(
            spec=table(
                "What is recorded.",
                ("kind", "podSelector", "recorder"),
                kind=word(PROFILE_KINDS, "The kind of profile that is made."),
                recorder=word(
                    ["Bpf", "Logs", "bpf", "logs"],
                    "How SPO would record. Either means the calls that the workload makes.",
                ),
                mergeStrategy=word(
                    ["None", "Containers", "none", "containers"],
                    "None: a profile for each pod's container. Containers: one for all containers of a name.",
                    default="None",
                ),
                podSelector=label_selector(
                    "Which pods of the namespace; an empty selector means all of them."
                ),
                containers=texts("Names of the containers to record; all if absent."),
                disableProfileAfterRecording=flag(
                    "Leave the profiles disabled when they are final.", default=False
                ),
            ),
            status=table(
                "What came of it so far.",
                activeWorkloads=texts("The pods that are recorded now."),
                conditions=conditions("Ready, Complete and others."),
                denials=items("atomic", denial, "What was denied; by container, the most frequent first."),
                denialsOmitted=number("How many further sorts there are."),
                ledger=items("atomic", loss, "What was lost, over all results."),
                observedGeneration=number("The metadata.generation that this status is of.", format="int64"),
                resultCount=number("How many results there are."),
                results=items("atomic", result, "The profiles."),
            ),
        ),
    )


def seccomp_profile() -> Schema:
    """SeccompProfile."""
    argument = table(
        "A comparison of one argument.",
        ("index", "op"),
        index=number("Which argument, from 0."),
        op=word(OPERATORS, "How it is compared.", "SCMP_CMP_"),
        value=number("What it is compared with; for MASKED_EQ the mask.", format="int64"),
        valueTwo=number("For MASKED_EQ the value.", format="int64"),
    )
    rule = table(
        "What is answered to some calls.",
        ("action", "names"),
        action=word(ACTIONS, "The answer.", "SCMP_ACT_"),
        args=items("atomic", argument, "Comparisons, all of which must hold.", maxItems=6),
        errnoRet=number("The errno that ERRNO and TRACE give; EPERM if absent."),
        names=items("set", text(), "Names of system calls.", minItems=1),
    )
    return table(
        "A seccomp profile for the nodes.",
        **root(
            spec=table(
                "The filter.",
                ("defaultAction",),
                state=profile_state(),
                baseProfileName=text("A profile whose calls are allowed as well."),
                defaultAction=word(ACTIONS, "The answer to a call that no rule names.", "SCMP_ACT_"),
                architectures=items(
                    "set",
                    word(ARCHITECTURES, prefix="SCMP_ARCH_"),
                    "The ABIs that a process may use; a call of another ends it.",
                ),
                listenerPath=text(
                    "The socket of the agent that NOTIFY asks.",
                    pattern=r"^/var/run/security-profiles-operator/[a-zA-Z0-9_\-\.]+$",
                ),
                listenerMetadata=text("Handed to that agent as it is."),
                flags=items("set", word(FLAGS, prefix="SECCOMP_FILTER_FLAG_"), "Flags of seccomp(2)."),
                syscalls=items("atomic", rule, "Rules."),
            ),
            status=profile_status(
                activeWorkloads=texts("The pods that use it."),
                localhostProfile=text("What securityContext.seccompProfile.localhostProfile has to be."),
                path=text("The profile's file on the nodes."),
            ),
        ),
    )


def apparmor_profile() -> Schema:
    """AppArmorProfile."""
    protocols = table("Which protocols.", allowTcp=flag("TCP sockets."), allowUdp=flag("UDP sockets."))
    return table(
        "An AppArmor profile for the nodes.",
        **root(
            spec=table(
                "The profile.",
                state=profile_state(),
                mode=word(["Enforce", "Complain"], "Complain: log what would be refused.", default="Enforce"),
                abstract=table(
                    "What is allowed.",
                    executable=table(
                        "Programs.",
                        allowedExecutables=texts("Paths that may be executed; they inherit the profile."),
                        allowedLibraries=texts("Paths that may be mapped as code."),
                    ),
                    filesystem=table(
                        "Files.",
                        readOnlyPaths=texts("Paths that may be read; writing is denied."),
                        writeOnlyPaths=texts("Paths that may be written; reading is denied."),
                        readWritePaths=texts("Paths that may be read and written."),
                    ),
                    network=table(
                        "Sockets.",
                        allowRaw=flag("Raw sockets."),
                        allowedProtocols=protocols,
                    ),
                    capability=table(
                        "Capabilities.",
                        allowedCapabilities=texts("Names in lower case, without CAP_."),
                    ),
                ),
            ),
            status=profile_status(),
        ),
    )


def selinux_profile() -> Schema:
    """SelinuxProfile."""
    parent = table(
        "A policy whose rules hold as well.",
        ("name",),
        kind=word(["System", "SelinuxProfile"], "System: one that the node has.", default="System"),
        name=text("Its name.", minLength=1),
    )
    return table(
        "An SELinux policy for the nodes.",
        **root(
            spec=table(
                "The policy.",
                state=profile_state(),
                inherit=items(
                    "atomic",
                    parent,
                    "Policies that this one begins with.",
                    default=[{"kind": "System", "name": "container"}],
                ),
                mode=word(
                    ["Enforcing", "Permissive"], "Permissive: log what would be refused.", default="Enforcing"
                ),
                allow={
                    "type": "object",
                    "description": "Permissions by the target's type (@self: the process's own) and class.",
                    "additionalProperties": {
                        "type": "object",
                        "additionalProperties": {"type": "array", "items": text()},
                    },
                },
            ),
            status=profile_status(
                activeWorkloads=texts("The pods that use it."),
                usage=text("What securityContext.seLinuxOptions.type has to be."),
            ),
        ),
    )


def root(**properties: Schema) -> Schema:
    """The properties that every object has, and these."""
    return {
        "apiVersion": text("The version of the API that the object is written in."),
        "kind": text("The kind of the object."),
        "metadata": {"type": "object"},
        **properties,
    }


# --- the definitions


def column(name: str, path: str, type_: str = "string", priority: int = 0) -> Schema:
    """A column of `kubectl get`; with a priority above 0 only of `-o wide`."""
    return {"name": name, "type": type_, "jsonPath": path, **({"priority": priority} if priority else {})}


AGE = column("Age", ".metadata.creationTimestamp", "date")
STATUS = column("Status", ".status.status")


def definition(
    kind: str, scope: str, versions: tuple[str, ...], schema: Schema, *columns: Schema, short: str = ""
) -> Schema:
    """A CustomResourceDefinition; the first version is the stored one, and all have the same schema."""
    singular = kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        # by the label `recorder check --cluster` tells ours from SPO's
        "metadata": {
            "name": f"{singular}s.{GROUP}",
            "labels": {"app.kubernetes.io/name": "profile-recorder"},
        },
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": f"{singular}s",
                "singular": singular,
                **({"shortNames": [short]} if short else {}),
            },
            "conversion": {"strategy": "None"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": list(columns),
                    "schema": {"openAPIV3Schema": schema},
                }
                for version in versions
            ],
        },
    }


def definitions() -> Mapping[str, Schema]:
    """All, by file name."""
    recording = definition(
        "ProfileRecording",
        "Namespaced",
        ("v1", "v1alpha1"),
        profile_recording(),
        column("PodSelector", ".spec.podSelector", priority=10),
        column("Kind", ".spec.kind"),
        column("Ready", '.status.conditions[?(@.type=="Ready")].reason'),
        column("Results", ".status.resultCount", "integer"),  # a path cannot count a list
        AGE,
    )
    seccomp = definition(
        "SeccompProfile",
        "Cluster",
        ("v1", "v1beta1"),
        seccomp_profile(),
        STATUS,
        AGE,
        column("LocalhostProfile", ".status.localhostProfile", priority=10),
        short="sp",
    )
    apparmor = definition(
        "AppArmorProfile", "Cluster", ("v1", "v1alpha1"), apparmor_profile(), STATUS, short="aa"
    )
    selinux = definition(
        "SelinuxProfile",
        "Cluster",
        ("v1", "v1alpha2"),
        selinux_profile(),
        column("Usage", ".status.usage"),
        column("State", ".status.status"),
    )
    return {
        f"{each['spec']['names']['singular']}.yaml": each for each in (recording, seccomp, apparmor, selinux)
    }


class Dumper(yaml.SafeDumper):
    """Without anchors: not every reader of manifests takes them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def files() -> Mapping[str, str]:
    """The text of each file."""
    texts_ = {
        name: yaml.dump(crd, Dumper=Dumper, sort_keys=False, width=110) for name, crd in definitions().items()
    }
    texts_["kustomization.yaml"] = yaml.dump(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": sorted(definitions()),
        },
        sort_keys=False,
    )
    return {name: HEADER + text_ for name, text_ in texts_.items()}


def main() -> int:
    """Write the files."""
    for name, text_ in files().items():
        (FOLDER / name).write_text(text_)
    return 0


if __name__ == "__main__":
    sys.exit(main())
