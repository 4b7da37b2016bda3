"""`recorder denials`: what is shown of a running capture, and when."""

import dataclasses
import json

import pytest

from recorder.cli.denial_stream import DenialStream
from recorder.cli.denials_table import HEAD
from recorder.model.abi import Abi
from recorder.model.denial import DenialCount, DenialKey, SelinuxDenial, Sighting, Text
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Identity, Observation, Outcome, Phase, Pod, Record, Source

HOSTILE = b"/tmp/a\nb\x1b[31m\xff\"'"
DENIED = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.DENIED)
ALLOWED = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED)


def selinux(name: bytes) -> DenialKey:
    """A read of a file."""
    context = Text(b"system_u:system_r:web_t:s0", 26)
    return DenialKey(
        "denied", SelinuxDenial(context, context, "file", ("read",), False, Text(name, len(name)))
    )


def seen(calls: tuple[int, ...] = (), **counts: int) -> Record:
    """One container, with denied calls and denials of files by name."""
    sighting = Sighting(1, 1, b"sh")
    return Record(
        (
            Observation(
                Source("n", "b", 1, 1),
                Identity("web", pod=Pod("shop", "web-0")),
                {DENIED: Numbers.of(calls), ALLOWED: Numbers.of([0])},
                denials={
                    selinux(name.encode()): DenialCount(count, sighting, sighting)
                    for name, count in counts.items()
                },
            ),
        )
    )


def test_each_denial_when_it_comes_and_when_it_comes_again(capsys):
    """A state that says nothing new says nothing; of a denied call nobody knows how often."""
    stream = DenialStream(json=True, live=True)

    def lines(record):
        stream.update(record, 1)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert lines(seen()) == []
    (first,) = lines(seen(a=1))
    assert (first["kind"], first["name"], first["count"]) == ("selinux", "a", 1)
    assert (first["container"]["namespace"], first["container"]["name"]) == ("shop", "web")
    assert lines(seen(a=1)) == []
    again, call = sorted(lines(seen((83,), a=3)), key=lambda each: each["kind"], reverse=True)
    assert (again["count"], call["syscall"]) == (3, "mkdir")
    assert lines(seen((83,), a=3)) == []
    assert [each["name"] for each in lines(seen((83,), a=3, b=1))] == ["b"]
    stream.finish(seen((83,), a=3, b=2))
    assert json.loads(capsys.readouterr().out)["count"] == 2


@pytest.mark.parametrize("live", [False, True])
def test_a_table_has_a_line_for_each_whatever_its_name(capsys, live):
    """At once, or one after the other under the same head."""
    stream = DenialStream(json=False, live=live)
    (observation,) = seen((83,)).observations
    count = DenialCount(2, Sighting(1, 1, b"s\nh"), Sighting(1, 1, b"s\nh"))
    record = Record((dataclasses.replace(observation, denials={selinux(HOSTILE): count}),))
    stream.update(record, 1)
    stream.finish(record)
    head, call, denial = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == list(HEAD[:4])
    assert call.split()[:3] == ["shop/web-0/web", "seccomp", "denied"]
    assert denial.split()[:4] == ["shop/web-0/web", "selinux", "denied", "2"]
    assert head.isprintable()
    assert call.isprintable()
    assert denial.isprintable()


def test_json_at_the_end_without_watch(capsys):
    """Nothing while it goes on."""
    stream = DenialStream(json=True, live=False)
    stream.update(seen(a=1), 1)
    assert capsys.readouterr().out == ""
    stream.finish(seen(a=2))
    assert json.loads(capsys.readouterr().out)["count"] == 2
