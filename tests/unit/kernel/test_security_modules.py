"""Which security modules are active, by the files that kernels show."""

import pytest

from recorder.kernel.security_modules import SecurityModule, security_modules


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ()),
        (
            {"sys/kernel/security/lsm": "lockdown,capability,yama,apparmor,bpf"},
            (("lockdown", ""), ("capability", ""), ("yama", ""), ("apparmor", ""), ("bpf", "")),
        ),
        (
            {"sys/kernel/security/lsm": "capability,selinux", "sys/fs/selinux/enforce": "0"},
            (("capability", ""), ("selinux", "permissive")),
        ),
        (
            {"sys/kernel/security/lsm": "selinux", "sys/fs/selinux/enforce": "1"},
            (("selinux", "enforcing"),),
        ),
        ({"sys/module/apparmor/parameters/enabled": "Y\n"}, (("apparmor", ""),)),
        ({"sys/module/apparmor/parameters/enabled": "N\n"}, ()),
        ({"proc/filesystems": "nodev\tsysfs\nnodev\tselinuxfs\n\text4\n"}, (("selinux", ""),)),
    ],
    ids=[
        "none",
        "Debian",
        "permissive",
        "enforcing",
        "apparmor unlisted",
        "apparmor off",
        "selinux unlisted",
    ],
)
def test_what_is_active(tmp_path, files, expected):
    """By the kernel's list; in a container, which has no securityfs, by what else says it."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert security_modules(tmp_path) == tuple(SecurityModule(*each) for each in expected)


def test_a_list_that_can_be_read_counts_alone(tmp_path):
    """A kernel that has AppArmor and did not start it says so in its list."""
    for name, text in {
        "sys/kernel/security/lsm": "capability",
        "sys/module/apparmor/parameters/enabled": "Y",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert security_modules(tmp_path) == (SecurityModule("capability"),)
