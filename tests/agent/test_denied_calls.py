"""Calls that seccomp filters deny, through the agent: the filters' own lists, only where asked for."""

import errno
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from recorder.model import wire
from recorder.model.abi import Abi
from recorder.model.record import Observation, Outcome, Phase
from recorder.rpc.v1 import agent_pb2 as pb
from tests.agent.fake_node import FakeNode, fake_node, own_cgroup
from tests.agent.plans import plan, recording
from tests.agent.process import AgentProcess
from tests.agent.requests import refusal
from tests.denials.filtered import UNUSED, named, number, results
from tests.denials.test_filters import REFUSED
from tests.exactness.same_run import JOIN
from tests.truth.calls import Call

pytestmark = pytest.mark.root

DENIALS = [pb.KIND_SYSCALLS, pb.KIND_DENIALS]
EXIT_PROGRAMS = {"on_sys_exit", "on_sys_exit_event"}

# Each action on a name of its own; the number of an errno is the filter's matter.
RULES = {
    "mkdir": f"errno:{errno.EPERM}",
    "rmdir": f"errno:{errno.EACCES}",
    "link": f"errno:{errno.ENOSYS}",
    "symlink": "errno:517",
    "rename": "trap",
    "chmod": "kill_process",
    "chown": "kill_thread",
}


@pytest.fixture
def looking(agent: AgentProcess) -> AgentProcess:
    """An agent that may look for denials; not started."""
    agent.settings += ("--denials", "auto")
    return agent


def of(observation: Observation, outcome: Outcome) -> frozenset[Call]:
    """The workload's calls with that outcome."""
    return frozenset(
        Call(Abi(key.abi), each)
        for key, numbers in observation.calls.items()
        if (key.phase, key.outcome) == (Phase.WORKLOAD, outcome)
        for each in numbers
    )


def begin(agent: AgentProcess, cgroup: Path, cgroup2: Path, *kinds: int, **more: str) -> Iterator:
    """A capture's stream, begun."""
    selection = pb.Selection(cgroup=f"/{cgroup.relative_to(cgroup2)}")
    stream = agent.capture(pb.CaptureRequest(selection=selection, kinds=kinds, **more))
    assert next(stream).WhichOneof("event") == "started"
    return stream


def filtered(program: Path, cgroup: Path, rules: str, calls: str) -> tuple[dict[str, int], int]:
    """The program in the cgroup to its end: its results, its status."""
    words = ["sh", "-c", JOIN, cgroup, program, *rules.split(), "--", *calls.split()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return results(done.stdout.splitlines()), done.returncode


def snapshots(stream: Iterator) -> Iterator[Observation]:
    """The one observation of each."""
    for message in stream:
        yield from wire.from_message(message.snapshot.record).observations


def until_denied(stream: Iterator, *names: str) -> Observation:
    """The first observation in which these are denied."""
    for each in snapshots(stream):
        if of(each, Outcome.DENIED) >= named(*names):
            return each
    raise AssertionError("the stream ended before")


def attached(agent: AgentProcess) -> set[str]:
    """The programs at sys_exit whose links are pinned."""
    folder = agent.pins / "links"
    return {each.name for each in folder.iterdir()} & EXIT_PROGRAMS if folder.is_dir() else set()


def wait_attached(agent: AgentProcess, wanted: bool) -> None:
    """Until it is so."""
    deadline = time.monotonic() + 30
    while bool(attached(agent)) is not wanted:
        assert time.monotonic() < deadline, attached(agent)
        time.sleep(0.02)


def test_each_action_of_a_filter_and_nothing_that_the_kernel_refuses(
    looking, scratch_cgroup, cgroup2, built_programs
):
    """Several errnos, traps and kills are exactly the filter's; LOG, one argument's and 30 EPERMs are not."""
    cgroup = scratch_cgroup()
    stream = begin(looking.start(), cgroup, cgroup2, *DENIALS)
    program = built_programs["filtered"]
    for name, action in RULES.items():
        thread = "t:" if action == "kill_thread" else ""
        filtered(program, cgroup, f"{number(name)}={action}", f"{thread}{number(name)} {number('getuid')}")
    filtered(program, cgroup, f"{number('getppid')}=log", f"{number('getppid')}")
    socket = number("socket")
    filtered(program, cgroup, f"{socket}=errno:13,16", f"{socket},16,1,0 {socket},1,1,0")
    calls = [f"{number(name)}{arguments}" for name, arguments in REFUSED.items()]
    found, status = filtered(program, cgroup, f"{UNUSED}=errno:1", " ".join(["nobody", *calls]))
    assert status == 0
    assert sum(found[call] == -errno.EPERM for call in calls) >= 30
    cgroup.rmdir()
    *_, last = snapshots(stream)
    assert last.ended
    assert of(last, Outcome.DENIED) == named(*RULES)
    assert named("getuid", "getppid", "socket", *REFUSED) <= of(last, Outcome.ALLOWED)
    assert last.provenance.kinds == "syscalls,denials"
    assert last.provenance.denials.startswith("seccomp sys_exit")
    assert last.ledger.verdict.complete
    assert "denials_late" not in last.ledger.counts


def test_the_program_at_sys_exit_is_there_while_somebody_asks(
    looking, scratch_cgroup, cgroup2, built_programs
):
    """A capture of calls alone neither attaches it nor hears of denied calls; one of denials does both."""
    cgroup = scratch_cgroup()
    looking.start()
    plain = begin(looking, cgroup, cgroup2)
    assert attached(looking) == set()
    mkdir, rmdir = (number(name) for name in ("mkdir", "rmdir"))
    filtered(built_programs["filtered"], cgroup, f"{mkdir}=errno:1", str(mkdir))
    asking = begin(looking, cgroup, cgroup2, *DENIALS)
    wait_attached(looking, True)
    filtered(built_programs["filtered"], cgroup, f"{rmdir}=errno:1", str(rmdir))
    seen = until_denied(asking, "rmdir")
    assert of(seen, Outcome.DENIED) == named("rmdir")
    assert seen.ledger.counts["denials_late"] == 1
    asking.cancel()
    wait_attached(looking, False)
    cgroup.rmdir()
    *_, last = snapshots(plain)
    assert last.ended
    assert looking.terminate() == 0
    assert looking.left() == []


def test_denied_calls_over_the_agents_death(looking, scratch_cgroup, cgroup2, built_programs):
    """Those before it, those while no agent lives, and those afterwards."""
    cgroup = scratch_cgroup()
    program = built_programs["filtered"]
    stream = begin(looking.start(), cgroup, cgroup2, *DENIALS, capture_id="it")

    def deny(name: str) -> None:
        filtered(program, cgroup, f"{number(name)}=errno:1", str(number(name)))

    deny("mkdir")
    until_denied(stream, "mkdir")
    looking.kill()
    deny("rmdir")
    looking.start()
    stream = begin(looking, cgroup, cgroup2, *DENIALS, capture_id="it")
    deny("link")
    cgroup.rmdir()
    *_, last = snapshots(stream)
    assert of(last, Outcome.DENIED) == named("mkdir", "rmdir", "link")
    assert "denials_late" not in last.ledger.counts
    assert last.ledger.verdict.complete
    wait_attached(looking, False)


def test_denied_calls_of_a_process(looking, built_programs):
    """By its id: from now on, like its calls."""
    looking.start()
    mkdir = number("mkdir")
    words = [built_programs["filtered"], f"{mkdir}=errno:1", "--", "line", str(mkdir)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        request = pb.CaptureRequest(selection=pb.Selection(pid=process.pid), kinds=DENIALS)
        stream = looking.capture(request)
        assert next(stream).WhichOneof("event") == "started"
        process.communicate(b"\n", timeout=30)
    *_, last = snapshots(stream)
    assert of(last, Outcome.DENIED) == named("mkdir")
    assert last.provenance.kinds == "syscalls,denials"


@pytest.fixture
def fake(tmp_path: Path, cgroup2: Path) -> Iterator[FakeNode]:
    """A node with pods."""
    folder = tmp_path / "node"
    folder.mkdir()
    with own_cgroup(cgroup2) as parent, fake_node(folder, parent, cgroup2) as node:
        yield node


def test_a_plan_that_asks_for_denials(looking, fake, uplinked, built_programs):
    """Of one recording's containers the collector has them; of another's, which does not ask, it has not."""
    looking.settings += fake.settings
    rmdir = number("rmdir")
    words = [built_programs["filtered"], f"{rmdir}=errno:1", "--", str(rmdir)]
    with uplinked(looking) as collector:
        looking.start()
        asked = recording("asked", "shop")
        asked.kinds.extend(DENIALS)
        new = plan(asked, recording("other", "bank"))
        collector.send(new)
        assert looking.says(f"plan {new.revision}:")
        found = {}
        for namespace in ("shop", "bank"):
            pod = fake.pod("pod", namespace)
            found[namespace] = fake.live(pod, "filtered", *words)

        def stored(namespace: str) -> list[Observation]:
            return [
                each
                for each in collector.stored.values()
                if each.ended and each.identity.container_id == found[namespace]
            ]

        collector.wait_for(lambda _: stored("shop") and stored("bank"))
        (shop,), (bank,) = stored("shop"), stored("bank")
        assert of(shop, Outcome.DENIED) == named("rmdir")
        assert shop.provenance.kinds == "syscalls,denials"
        assert "denials_late" not in shop.ledger.counts
        assert of(bank, Outcome.DENIED) == frozenset()
        assert (bank.provenance.kinds, bank.provenance.denials) == ("", "")
        assert looking.terminate() == 0
    assert looking.left() == []


def test_the_command_shows_them(looking, fake, recorder_cli, built_programs, scratch_cgroup, cgroup2):
    """Of all containers, what is known when it is asked; of a cgroup, each when it comes, as JSON."""
    looking.settings += fake.settings
    looking.start()
    rmdir, mkdir = (str(number(name)) for name in ("rmdir", "mkdir"))
    agent = f"unix:{looking.socket}"
    words = [built_programs["filtered"], f"{rmdir}=errno:1", "--", rmdir, "wait:60000"]
    selection = pb.Selection(all=pb.AllContainers())
    everything = looking.capture(pb.CaptureRequest(selection=selection, kinds=DENIALS))
    assert next(everything).WhichOneof("event") == "started"
    pod = fake.pod("web-0", "shop")
    identity = fake.container(pod, "web")
    with fake.run(pod, identity, *words):
        until_denied(everything, "rmdir")
        done = recorder_cli.run("denials", "--agent", agent)
    everything.cancel()
    assert done.returncode == 0, done.stderr
    head, row = done.stdout.decode().splitlines()
    assert head.split()[:3] == ["CONTAINER", "BY", "VERDICT"]
    assert row.split()[:3] == ["shop/web-0/web", "seccomp", "denied"]
    assert " rmdir " in row
    assert b"looked for: seccomp sys_exit" in done.stderr
    cgroup = scratch_cgroup()
    path = f"/{cgroup.relative_to(cgroup2)}"
    with recorder_cli.started("denials", "--agent", agent, "--cgroup", path, "--watch", "--json") as watch:
        looking.wait_for(lambda status: len(status.captures) == 1 and status.captures[0].recorded == 1)
        filtered(built_programs["filtered"], cgroup, f"{mkdir}=errno:1", mkdir)
        found = json.loads(watch.stdout.readline())
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=30)
    assert watch.returncode == 0
    assert (found["kind"], found["syscall"], found["verdict"]) == ("seccomp", "mkdir", "denied")
    assert found["container"]["cgroup"] == path


def test_an_agent_that_does_not_look_says_so(agent, scratch_cgroup, cgroup2):
    """By default: a capture that asks is refused by the field's name."""
    agent.start()
    selection = pb.Selection(cgroup=f"/{scratch_cgroup().relative_to(cgroup2)}")
    code, text = refusal(lambda: agent.capture(pb.CaptureRequest(selection=selection, kinds=DENIALS)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "kinds has KIND_DENIALS" in text
    assert 'agent.denials to "auto"' in text
