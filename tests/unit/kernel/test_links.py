"""Links: in order, all or none, by a library that notes what is asked of it."""

import errno
import os

import pytest

from recorder.kernel.links import Links
from recorder.model.errors import BpfLoadError

ORDER = ("first", "second", "third")
PROGRAMS = {name: number for number, name in enumerate(ORDER, start=100)}
NAMES = {number: name for name, number in PROGRAMS.items()}


class Library:
    """Raw tracepoints as descriptors of /dev/null, pins as files; refuses the program of a name."""

    def __init__(self, refused=None, pin_refused=None):
        self.refused = refused
        self.pin_refused = pin_refused
        self.attached = []

    def bpf_raw_tracepoint_open(self, name, program):
        assert name is None
        if NAMES[program] == self.refused:
            return -errno.EBUSY
        self.attached.append(NAMES[program])
        return os.open(os.devnull, os.O_RDONLY)

    def bpf_obj_pin(self, fd, path):
        if os.path.basename(path).decode() == self.pin_refused:
            return -errno.EPERM
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return 0

    def bpf_obj_get(self, path):
        try:
            return os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return -errno.ENOENT

    def log(self):
        return "libbpf: a line"


@pytest.fixture
def open_descriptors():
    """How many descriptors this process has."""
    return lambda: len(os.listdir("/proc/self/fd"))


def test_attach_is_in_order_and_happens_once(open_descriptors):
    library = Library()
    before = open_descriptors()
    links = Links(library, PROGRAMS, ORDER)
    links.attach()
    links.attach()
    assert library.attached == list(ORDER)
    links.detach()
    links.detach()
    assert open_descriptors() == before
    links.attach()
    assert library.attached == [*ORDER, *ORDER]
    links.close()
    assert open_descriptors() == before


@pytest.mark.parametrize("refused", ORDER)
def test_what_cannot_be_attached_leaves_nothing(refused, open_descriptors):
    before = open_descriptors()
    links = Links(Library(refused), PROGRAMS, ORDER)
    with pytest.raises(BpfLoadError, match=f"cannot attach {refused}: .*\nlibbpf: a line"):
        links.attach()
    assert open_descriptors() == before


def test_pinned_links_are_adopted_and_only_the_missing_are_attached(tmp_path):
    links = Links(Library(), PROGRAMS, ORDER)
    links.attach()
    links.pin(tmp_path)
    links.close()
    assert sorted(os.listdir(tmp_path)) == sorted(ORDER)
    (tmp_path / "second").unlink()
    library = Library()
    adopted = Links(library, PROGRAMS, ORDER, tmp_path)
    adopted.attach()
    assert library.attached == ["second"]
    assert sorted(os.listdir(tmp_path)) == sorted(ORDER), "what is attached later is pinned too"
    adopted.close()
    assert sorted(os.listdir(tmp_path)) == sorted(ORDER), "close leaves pins"


def test_detach_takes_the_pins_too(tmp_path):
    """The last one attached goes first."""
    links = Links(Library(), PROGRAMS, ORDER, tmp_path)
    links.attach()
    links.detach()
    assert os.listdir(tmp_path) == []
    links.close()


@pytest.mark.parametrize("refused", ORDER)
def test_a_refused_pin_is_named(refused, tmp_path):
    links = Links(Library(pin_refused=refused), PROGRAMS, ORDER)
    links.attach()
    with pytest.raises(BpfLoadError, match=f"cannot pin the link of {refused} at "):
        links.pin(tmp_path)
    links.close()
