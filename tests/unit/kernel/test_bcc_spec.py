"""What bcc is asked to compile: sizes by bounds, and only what the headers allow."""

from pathlib import Path

import pytest

from recorder.kernel.bcc_spec import MAPS, PROGRAMS, bcc_spec
from recorder.kernel.headers import Headers
from recorder.kernel.spec import Bounds
from recorder.model.errors import MissingObject


def headers(release="6.1.0", *, matching=True):
    return Headers(Path("/build"), Path("/build"), release, matching)


def test_sizes_follow_the_bounds():
    spec = bcc_spec(Bounds(slots=3, children=5, joiners=40, roots=2, ring_bytes=8192), headers())
    assert spec.max_entries == {
        "slots": 4,
        "state": 1,
        "table": 34,
        "paths": 15,
        "rules": 4,
        "joiners": 160,
        "held": 10,
        "free_slots": 3,
        "events": 8192,
    }
    assert set(spec.max_entries) == set(MAPS)
    defines = spec.defines("x86_64")
    assert {"-DSLOTS=4", "-DTABLE=34", "-DFREE_SLOTS=3", "-DRING_PAGES=2"} <= set(defines)
    assert "-D__TARGET_ARCH_x86" in defines
    assert "-D__TARGET_ARCH_arm64" in spec.defines("aarch64")


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        (headers(matching=False), set()),
        (headers("6.12.0"), {"-DSTRUCTURES"}),
        (headers("6.1.0"), {"-DSTRUCTURES", "-DCONTAINERS"}),
    ],
)
def test_structures_are_read_with_the_kernels_own_headers_only(given, levels):
    defines = bcc_spec(Bounds(), given).defines("x86_64")
    assert {"-DSTRUCTURES", "-DCONTAINERS"} & set(defines) == levels


def test_what_counts_calls_is_attached_last():
    """The first call that is seen already has its phase."""
    assert PROGRAMS[-1].name == "on_sys_enter"


def test_parts_are_put_in_the_place_of_their_includes(tmp_path):
    """bcc rewrites map methods in one file alone; other headers stay what they are."""
    (tmp_path / "source.c").write_text('#include "shared.h"\n#include "part.bcc.h"\nlast\n')
    (tmp_path / "part.bcc.h").write_text("part\n")
    spec = bcc_spec(Bounds(), headers(), tmp_path / "source.c")
    assert spec.text() == '#include "shared.h"\npart\n\nlast\n'
    (tmp_path / "part.bcc.h").unlink()
    with pytest.raises(MissingObject, match="make bpf"):
        spec.text()


def test_without_structures_programs_are_on_classic_tracepoints():
    """But for those whose raw tracepoint shows all that they need."""
    assert bcc_spec(Bounds(), headers()).events == {}
    events = bcc_spec(Bounds(), headers(matching=False)).events
    assert {each.name for each in PROGRAMS} - set(events) == {"on_exec", "on_sys_enter"}
