"""How often one address may ask."""

import pytest

from recorder.collector.agents.turnstile import Turnstile, address_of


def test_a_burst_and_then_a_rate():
    """Three at once, one each two seconds after that; others are not affected."""
    now = 100.0
    turnstile = Turnstile(0.5, 3, clock=lambda: now)
    assert [turnstile.admits("a") for _ in range(5)] == [True, True, True, False, False]
    assert turnstile.admits("b")
    now = 101.9
    assert not turnstile.admits("a")
    now = 102.1
    assert turnstile.admits("a")
    assert not turnstile.admits("a")
    now = 1000.0
    assert [turnstile.admits("a") for _ in range(4)] == [True, True, True, False]


def test_it_remembers_so_many():
    """Beyond that the one that asked the longest ago is forgotten."""
    turnstile = Turnstile(0.001, 1, most=2, clock=lambda: 0.0)
    assert turnstile.admits("a")
    assert turnstile.admits("b")
    assert not turnstile.admits("a")
    assert turnstile.admits("c")  # b is forgotten
    assert not turnstile.admits("a")
    assert turnstile.admits("b")


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.1.2.3:4567", "10.1.2.3"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:4567", "2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:ffff::9]:1", "2001:db8:1:2::/64"),
        ("ipv6:%5B::ffff:10.1.2.3%5D:4567", "10.1.2.3"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4567", "fe80::/64"),
        ("unix:", "unix:"),
    ],
)
def test_whose_a_call_is(peer, address):
    """Of IPv6 the network: who has one has all of its addresses."""
    assert address_of(peer) == address
