"""What looks like a secret in a name is in no profile, warning or explanation, wherever it stood."""

import pytest

from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileKind,
    FileRight,
    MessageQueue,
    Mount,
    MountStep,
    SocketRight,
    UnixSocket,
)
from recorder.model.denial import AppArmorDenial, DenialCount, DenialKey, Sighting, Text
from recorder.model.record import Observation, Record, Source
from recorder.profiles.apparmor_annotations import apparmor_annotations, explanation
from recorder.profiles.apparmor_profile import abstract_profile
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.apparmor_yaml import to_yaml
from recorder.profiles.completion import completed_text
from tests.truth.compiled_policy import Policy
from tests.unit.model.test_secret import NONE, SECRETS
from tests.unit.profiles.accessed import did

# what stands in the place of {secret}: short ones may stand elsewhere in a text, too
CASES = {
    case: (path, path[len(before) : len(path) - len(after)])
    for case, (path, expected) in SECRETS.items()
    for before, _, after in (expected.partition("{secret}"),)
    # no path of the kernel's has two slashes side by side
    if path.startswith("/") and "//" not in path and len(path) - len(before) - len(after) >= 7
}
ALL = FileRight.READ | FileRight.WRITE | FileRight.CREATE


def everywhere(path):
    """Accesses that have a name in each of their places."""
    abstract = b"\0" + path[1:100]
    return did(
        (File(path), ALL),
        (File(path + b"/in", kind=FileKind.FOLDER), FileRight.READ),
        (File(path + b".old", path + b".new"), FileRight.RENAME),
        (File(path + b".link", path), FileRight.LINK | FileRight.CREATE),
        (File(path, cut=True), FileRight.READ),
        (File(b"/tool"), FileRight.EXEC),
        *((File(b"/srv/many/%d" % n + path), FileRight.READ) for n in range(12)),
        *((File(b"/srv/more" + path + b"%d" % n), FileRight.READ) for n in range(12)),
        (UnixSocket(1, path[:108]), SocketRight.BIND),
        (UnixSocket(1, b"", path[:108]), SocketRight.CONNECT),
        (UnixSocket(1, abstract), SocketRight.BIND),
        (UnixSocket(2, b"", abstract), SocketRight.SEND),
        (Mount(MountStep.MOUNT, path, path, b"tmpfs"), 0),
        (Mount(MountStep.BIND, path, b"/mnt", b"", 0x1000), 0),
        (Mount(MountStep.UMOUNT, b"", path), 0),
        (Mount(MountStep.PIVOT_ROOT, path, path + b"/old"), 0),
        (MessageQueue(path[-200:]), FileRight.READ),
        (Capability(0), CapabilityRight.GRANTED),
    )


def texts_of(accesses):
    """All that is emitted and said."""
    rules = apparmor_rules([accesses])
    record = Record((Observation(Source("n", "b", 1, 1), accesses=accesses),))
    profile = abstract_profile(rules, "x")
    annotations = apparmor_annotations(record, rules, profile)
    return [
        to_text(rules, "x", about=annotations),
        to_yaml(profile),
        *profile.warnings,
        *annotations.values(),
        *rules.left_out,
        *explanation(rules),
    ]


@pytest.mark.parametrize("case", CASES)
def test_no_secret_is_emitted(case):
    """Neither as it is nor escaped; and the profile loads."""
    path, secret = CASES[case]
    for text in texts_of(everywhere(path.encode())):
        assert secret not in text.replace("\\", ""), text
    Policy(to_text(apparmor_rules([everywhere(path.encode())]), "x", base=False))


@pytest.mark.parametrize("case", CASES)
def test_another_secret_in_its_place_is_allowed(case):
    """And nothing that has another name around it."""
    path, secret = CASES[case]
    seen = did((File(path.encode()), FileRight.READ))
    allows = Policy(to_text(apparmor_rules([seen]), "x", base=False)).allows
    other = path.replace(secret, "Another")
    assert allows(path.encode()) == allows(other.encode()) == {"r"}
    before, after = path.split(secret)
    for wrong in (f"{before}a/b{after}", f"{before}x{after}x/", f"/x{other}", "/"):
        assert not allows(wrong.encode()), wrong


def test_names_without_secrets_are_whole():
    """Of those that look a little like one."""
    paths = [each.encode() for each in NONE.values() if each.startswith("/")]
    seen = did(*((File(each), FileRight.READ) for each in paths))
    assert not [each for each in explanation(apparmor_rules([seen])) if ": secret: " in each]


@pytest.mark.parametrize("case", CASES)
def test_no_secret_comes_from_a_denial(case):
    """A record may have raw paths: what completes a profile of it has none, nor do the reasons."""
    path, secret = CASES[case]

    def denial(operation, object_class, name, target=b"", **more):
        return AppArmorDenial(
            operation=operation,
            object_class=object_class,
            profile=Text(b"x", 1),
            namespace=Text(),
            complain=True,
            requested=("read",),
            denied=("read",),
            name=name,
            target=Text(target, len(target)),
            peer=Text(),
            info=Text(),
            error=-13,
            **more,
        )

    raw = path.encode()
    once = DenialCount(1, Sighting(1, 1, b"sh"), Sighting(1, 1, b"sh"))
    denials = [
        denial("open", "file", Text(raw, len(raw))),
        denial("open", "file", Text(raw[1:], len(raw) - 1)),
        denial("open", "file", Text(raw, len(raw) + 1)),
        denial("mount", "mount", Text(raw, len(raw)), raw, mount_flags=0x1000),
        denial("strange", "file", Text(raw, len(raw))),
    ]
    entries = {DenialKey("allowed", each): once for each in denials}
    record = Record((Observation(Source("n", "b", 1, 1), denials=entries),))
    done = completed_text("profile x {\n}\n", record)
    assert done.added
    for text in (done.profile, *done.added, *done.left_out):
        assert secret not in text.replace("\\", ""), text
