"""ABIs: values, names and limits that others rely on."""

from recorder.model.abi import Abi
from recorder.record.v1 import record_pb2 as pb


def test_values_equal_the_messages_enum():
    """An ABI's value is the one of the wire format, and no member is missing on either side."""
    assert {f"ABI_{abi.name}": int(abi) for abi in Abi} | {"ABI_UNSPECIFIED": 0} == dict(pb.Abi.items())


def test_labels_and_architectures():
    """Labels are those of the command's output, architectures those of the OCI specification."""
    assert [(abi.label, abi.scmp_arch) for abi in Abi] == [
        ("x86_64", "SCMP_ARCH_X86_64"),
        ("i386", "SCMP_ARCH_X86"),
        ("x32", "SCMP_ARCH_X32"),
        ("aarch64", "SCMP_ARCH_AARCH64"),
        ("arm", "SCMP_ARCH_ARM"),
    ]


def test_limits():
    """Only x32 has more than 512 places, for its own calls at 512 to 547."""
    assert {abi.label: abi.limit for abi in Abi} == {
        "x86_64": 512,
        "i386": 512,
        "x32": 576,
        "aarch64": 512,
        "arm": 512,
    }
