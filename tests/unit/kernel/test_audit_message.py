"""Messages of the kernel's audit: the multicast's odd header, and what audit has lost."""

import struct

import pytest

from recorder.kernel.audit_message import AuditMessage, lost_records


def test_the_length_of_the_text_alone_is_in_the_header():
    """As the kernel sends it: the last 16 bytes of the text would be missing else; any byte may be in it."""
    text = b"audit(1.000:2): \xff and more"
    message = AuditMessage.of(struct.pack("=IHHII", len(text), 1400, 0, 0, 0) + text)
    assert (message.kind, message.text) == (1400, text)


@pytest.mark.root
def test_the_kernel_says_what_it_lost():
    """A number that does not go down."""
    first = lost_records()
    assert lost_records() >= first >= 0
