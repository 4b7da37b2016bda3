"""Addresses as people write them."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.errors import UsageError
from recorder.rpc.address import Address


@pytest.mark.parametrize(
    ("text", "expected", "grpc"),
    [
        ("unix:/run/a.sock", Address(path=Path("/run/a.sock")), "unix:/run/a.sock"),
        ("unix:///run/a.sock", Address(path=Path("/run/a.sock")), "unix:/run/a.sock"),
        ("node:7443", Address(host="node", port=7443), "node:7443"),
        ("192.0.2.1:1", Address(host="192.0.2.1", port=1), "192.0.2.1:1"),
        ("[::1]:7443", Address(host="::1", port=7443), "[::1]:7443"),
    ],
)
def test_good_addresses(text, expected, grpc):
    """A path, or a host with its port."""
    assert Address.parse(text) == expected
    assert expected.grpc == str(expected) == grpc


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no port"),
        ("node", "no port"),
        ("node:", "no port"),
        ("node:x", "no port"),
        ("node:65536", "no port"),
        ("node:-1", "no port"),
        ("node:\u0661", "no port"),
        (":7443", "names no host"),
        ("a b:1", "names no host"),
        ("user@node:1", "names no host"),
        ("::1:7443", "in brackets"),
        ("[node]:7443", "no IPv6 address"),
        ("https://node:7443", "is a URL"),
        ("unix:", "no address"),
        ("unix:relative", "no address"),
        ("unix://host/run/x", "no address"),
        ("unix:/a\0b", "no address"),
    ],
)
def test_wrong_addresses(text, words):
    """Each with what is wrong and what is expected."""
    with pytest.raises(UsageError) as refused:
        Address.parse(text)
    assert words in str(refused.value)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_any_ip_address(ip, port):
    """As the standard library writes it, in brackets for IPv6, back to the same host and port."""
    host = f"[{ip}]" if isinstance(ip, ipaddress.IPv6Address) else str(ip)
    address = Address.parse(f"{host}:{port}")
    assert (ipaddress.ip_address(address.host), address.port) == (ip, port)
    assert address.grpc == f"{host}:{port}"


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_usage_error(text):
    """Nothing else is raised, and the message can be printed."""
    message = ""
    try:
        Address.parse(text)
    except UsageError as error:
        message = str(error)
    assert message.isprintable()
