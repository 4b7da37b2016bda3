"""What bcc's kernel side and Python share: the comparison is complete, and notices a difference."""

import ctypes
import subprocess

import pytest

from recorder.kernel import bcc_layout, layout
from recorder.kernel.spec import object_path

SOURCE = """
#define __u8 unsigned char
#define __u16 unsigned short
#define __u32 unsigned int
#define __s32 int
#define __u64 unsigned long long
#define __s64 long long
#include "recorder_bcc.h"
"""


def compiled(text):
    """The compiler's complaints; '' for none."""
    folder = object_path("bcc/recorder_bcc.h").parent
    command = ["clang", "-target", "bpf", "-fsyntax-only", "-x", "c", f"-I{folder}", "-"]
    try:
        done = subprocess.run(command, input=SOURCE + text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("clang is not installed (make setup)")
    return done.stderr


def test_both_sides_are_the_same():
    assert compiled(bcc_layout.assertions()) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [
        ("struct byte_slot, started) == 36", "struct byte_slot, started) == 40", "byte_slot.started"),
        ("sizeof(struct held) == 2056", "sizeof(struct held) == 2048", "held"),
        ("MODE_EXEC == 1", "MODE_EXEC == 3", "MODE_EXEC"),
        ("PATH_BYTES == 512", "PATH_BYTES == 256", "PATH_BYTES"),
    ],
)
def test_a_difference_is_an_error_that_names_it(right, wrong, named):
    text = bcc_layout.assertions()
    assert right in text
    assert f"bcc_layout.py: {named}" in compiled(text.replace(right, wrong))


def test_rows_hold_all_bits():
    """Bytes at a bitmap's edges become that bit and no other."""
    assert bcc_layout.ROW_BYTES >= layout.BITMAP_BITS
    for bit in (0, 63, 64, 511, 512, 1024, layout.BITMAP_BITS - 1):
        row = [0] * bcc_layout.ROW_BYTES
        row[bit] = 1
        words = bcc_layout.words_of(row)
        assert sum(word << 64 * index for index, word in enumerate(words)) == 1 << bit


def test_elements_follow_each_other_in_shared_memory():
    """An array's elements begin at multiples of 8 bytes (kernel/bpf/arraymap.c)."""
    assert ctypes.sizeof(bcc_layout.Slot) % 8 == ctypes.sizeof(bcc_layout.State) % 8 == 0
