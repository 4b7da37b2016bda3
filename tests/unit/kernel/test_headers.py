"""Kernel headers: where they are looked for, which are taken, and what is said when there are none."""

import pytest

from recorder.kernel.headers import Headers, find_headers, flags
from recorder.model.errors import MissingHeaders

RELEASE = "6.1.0-31-amd64"


@pytest.fixture
def modules(tmp_path):
    """An empty /lib/modules."""
    folder = tmp_path / "modules"
    folder.mkdir()
    return folder


@pytest.fixture
def find(modules, tmp_path):
    """`find(RELEASE, environment={}, machine="x86_64")` below the test's own folders."""

    def search(release=RELEASE, environment=None, machine="x86_64"):
        return find_headers(release, machine, environment or {}, modules, tmp_path / "kheaders.tar.xz")

    return search


def write(folder, *names, text=""):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def whole(folder, release=RELEASE):
    """A tree that has everything, as a kernel that was built here."""
    common(folder)
    configured(folder, release)
    return folder


def common(folder):
    """The part that is the same for all configurations."""
    write(folder, "include/linux/kconfig.h", "arch/x86/include/asm/ptrace.h")
    return folder


def configured(folder, release=RELEASE):
    """The part that a configuration generated."""
    write(folder, "include/generated/autoconf.h")
    write(folder, "include/generated/utsrelease.h", text=f'#define UTS_RELEASE "{release}"\n')
    return folder


def link(modules, release, build, source=None):
    (modules / release).mkdir()
    (modules / release / "build").symlink_to(build)
    if source:
        (modules / release / "source").symlink_to(source)
    return modules / release / "build"


def test_one_tree_for_all(find, modules, tmp_path):
    build = link(modules, RELEASE, whole(tmp_path / "linux"))
    found = find()
    assert found == Headers(build, build, RELEASE, matching=True)
    assert flags(found, "x86_64") == []


def test_debian_splits_them_in_two(find, modules, tmp_path):
    """The generated part comes from `build`, the rest from the `source` link."""
    build = link(modules, RELEASE, configured(tmp_path / "amd64"), common(tmp_path / "common"))
    found = find()
    assert (found.build, found.source, found.matching) == (build, modules / RELEASE / "source", True)
    assert flags(found, "x86_64") == [
        f"-I{build}/arch/x86/include/generated",
        f"-I{build}/arch/x86/include/generated/uapi",
        f"-I{build}/include",
        f"-I{build}/include/generated/uapi",
    ]


def test_debians_makefile_names_the_other_part(find, modules, tmp_path):
    """Without the `source` link, as where BCC_KERNEL_SOURCE names Debian's folder."""
    build = configured(tmp_path / "amd64")
    write(build, "Makefile", text=f"include {common(tmp_path / 'common')}/Makefile\n")
    found = find(environment={"BCC_KERNEL_SOURCE": str(build)})
    assert (found.build, found.source, found.matching) == (build, tmp_path / "common", True)


def test_only_the_build_link(find, modules, tmp_path):
    """As when the package of the common part is missing: it is named, and so is the kernel's own package."""
    build = link(modules, RELEASE, configured(tmp_path / "amd64"))
    with pytest.raises(MissingHeaders) as refused:
        find()
    said = str(refused.value)
    assert f"install linux-headers-{RELEASE}" in said
    assert f"{build}: no include/linux/kconfig.h for x86_64" in said
    assert "linux-headers-*-common" in said


def test_a_link_to_what_was_removed(find, modules, tmp_path):
    link(modules, RELEASE, tmp_path / "gone")
    with pytest.raises(MissingHeaders, match=f"a link to {tmp_path}/gone, which is missing"):
        find()


def test_nothing_at_all(find, modules, tmp_path):
    """Everything that was looked for is named."""
    with pytest.raises(MissingHeaders) as refused:
        find()
    said = str(refused.value)
    assert f"{modules}/{RELEASE}/build: no such folder" in said
    assert f"{tmp_path}/kheaders.tar.xz: not there" in said
    assert "BCC_KERNEL_SOURCE" in said


def test_another_architectures_headers_are_none(find, modules, tmp_path):
    link(modules, RELEASE, whole(tmp_path / "linux"))
    with pytest.raises(MissingHeaders, match="for aarch64"):
        find(machine="aarch64")


def test_the_variable_comes_first(find, modules, tmp_path):
    """Also before the running kernel's; and it is an error if there is nothing, not a reason to look on."""
    link(modules, RELEASE, whole(tmp_path / "linux"))
    other = whole(tmp_path / "other", "6.12.0")
    found = find(environment={"BCC_KERNEL_SOURCE": str(other)})
    assert (found.build, found.release, found.matching) == (other, "6.12.0", False)
    with pytest.raises(MissingHeaders, match=f"BCC_KERNEL_SOURCE names no kernel headers: {tmp_path}/none"):
        find(environment={"BCC_KERNEL_SOURCE": str(tmp_path / "none")})
    assert find(environment={"BCC_KERNEL_SOURCE": ""}).matching


def test_the_kernels_own_archive_is_its_own(find, modules, tmp_path):
    """Taken before another kernel's headers."""
    link(modules, "6.0.0", whole(tmp_path / "linux", "6.0.0"))
    (tmp_path / "kheaders.tar.xz").touch()
    found = find()
    assert (found.archive, found.matching) == (tmp_path / "kheaders.tar.xz", True)


def test_the_newest_of_other_kernels(find, modules, tmp_path):
    """By number, not by letter; and they do not match, so that no structure is read."""
    for release in ("6.1.0-9-amd64", "6.1.0-31-amd64", "5.10.0-99-amd64"):
        link(modules, release, whole(tmp_path / release, release))
    found = find("6.18.0-custom")
    assert (found.release, found.matching, found.containers) == ("6.1.0-31-amd64", False, False)
    assert "no kernel structure is read" in str(found)


def test_a_folder_of_the_running_kernel_with_another_ones_headers(find, modules, tmp_path):
    """The name of the folder does not count, what the headers say does."""
    link(modules, RELEASE, whole(tmp_path / "linux", "6.1.0-32-amd64"))
    assert not find().matching


@pytest.mark.parametrize(
    ("release", "works"),
    [("5.7.19", False), ("5.8.0", True), ("5.10.0-31-amd64", True), ("6.7.12", True), ("6.8.0", False)],
)
def test_containers_need_a_kernel_whose_mounts_are_known(release, works, tmp_path):
    assert Headers(tmp_path, tmp_path, release, matching=True).containers is works
    assert not Headers(tmp_path, tmp_path, release, matching=False).containers
