"""`recorder capture` against an agent that does what each test says."""

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from google.protobuf.json_format import MessageToDict

from recorder.model.access import File, FileRight
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.errors import AccessDenied, LimitReached, NotFound, RemoteFailed
from recorder.model.record import Observation, Phase, Pod
from recorder.model.wire import from_json
from recorder.rpc.fields import FieldError, InvalidFields
from recorder.rpc.status import abort
from recorder.rpc.v1 import agent_pb2 as pb
from tests.cli.fake_agent import (
    fake_agent,
    keep_alive,
    observation,
    snapshot,
    started,
    until,
)

WAIT = 60

# The first of x86_64 by number (arch/x86/entry/syscalls/syscall_64.tbl).
FIRST_CALLS = ["read", "write", "open", "close", "stat", "fstat", "lstat", "poll", "lseek", "mmap"]


@pytest.fixture
def agent(tmp_path):
    with fake_agent(tmp_path) as made:
        yield made


def last_line(stderr: bytes) -> str:
    return stderr.decode().strip().splitlines()[-1]


def names(numbers) -> list[str]:
    return sorted(FIRST_CALLS[number] for number in numbers)


def ends_with(*observations):
    """A script: one snapshot, the last."""

    async def script(request, context):
        yield started(request)
        yield snapshot(*observations, final=True)

    return script


def capture(recorder_cli, agent, *arguments, **settings):
    return recorder_cli.run(
        "capture", "--agent", agent.address, "--container", "web", *arguments, timeout=WAIT, **settings
    )


def capturing(recorder_cli, agent, *arguments):
    return recorder_cli.started("capture", "--agent", agent.address, "--container", "web", *arguments)


@pytest.mark.parametrize("output_format", ["seccomp", "oci", "record", "names"])
def test_each_format_is_what_it_says(recorder_cli, agent, output_format):
    """As those of `recorder record`."""
    agent.script = ends_with(observation(range(5), ended=True))
    done = capture(recorder_cli, agent, "-f", output_format)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    if output_format == "seccomp":
        profile = yaml.safe_load(text)
        assert profile["metadata"]["name"] == "web"
        assert set(names(range(5))) <= set(profile["spec"]["syscalls"][0]["names"])
    elif output_format == "oci":
        assert set(names(range(5))) <= set(json.loads(text)["syscalls"][0]["names"])
    elif output_format == "record":
        assert from_json(text).observations == (observation(range(5), ended=True),)
    else:
        assert text.split() == names(range(5))
    assert "verdict: complete" in done.stderr.decode()


def test_the_base_is_that_of_the_containers_runtime(recorder_cli, agent):
    """As the agent says which it is; --base wins over it."""
    agent.script = ends_with(observation(range(5), ended=True))
    assert b"base runc-1.1:" in capture(recorder_cli, agent).stderr
    assert b"base crun-1:" in capture(recorder_cli, agent, "--base", "crun-1").stderr


def test_several_containers_are_one_profile(recorder_cli, agent):
    """Of all that they called; named after what was selected."""
    agent.script = ends_with(
        observation([0, 1], name="a", ended=True), observation([2], cgroup=8, name="b", ended=True)
    )
    done = recorder_cli.run("capture", "--agent", agent.address, "--pod", "shop/web-1", "-f", "oci")
    assert set(names([0, 1, 2])) <= set(json.loads(done.stdout)["syscalls"][0]["names"])
    done = recorder_cli.run("capture", "--agent", agent.address, "--pod", "shop/web-1")
    assert yaml.safe_load(done.stdout)["metadata"]["name"] == "web-1"


def test_each_writes_a_file_for_each_container(recorder_cli, agent, tmp_path):
    """The restarts of one joined; a name that is a path stays a file's name."""
    folder = tmp_path / "out"
    folder.mkdir()
    agent.script = ends_with(
        observation([0], name="a", ended=True),
        observation([1], cgroup=8, name="a", ended=True),
        observation([2], cgroup=9, name="../../b", ended=True),
        observation([3], cgroup=10, name="A", ended=True),
    )
    done = capture(recorder_cli, agent, "-f", "names", "--each", folder)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_text().split() for path in folder.iterdir()} == {
        "shop-web-1-a.txt": names([3]),
        "shop-web-1-a-2.txt": names([0, 1]),
        "shop-web-1-b.txt": names([2]),
    }


def test_each_writes_what_it_can(recorder_cli, agent, tmp_path):
    """A container that called nothing has no profile: 125, and the others' are there."""
    agent.script = ends_with(
        observation([0], name="a", ended=True), observation([], cgroup=8, name="b", ended=True)
    )
    done = capture(recorder_cli, agent, "--each", tmp_path)
    assert done.returncode == 125
    assert last_line(done.stderr).startswith("recorder: INVALID_PROFILE: ")
    assert [path.name for path in tmp_path.glob("*.yaml")] == ["shop-web-1-a.yaml"]


def test_accesses_come_in_parts_and_become_a_profile(recorder_cli, agent, tmp_path):
    """What the stream said of one container in several messages is one profile; also with a file for each."""
    it = observation([0], ended=True)

    def part(path):
        key = AccessKey(Phase.WORKLOAD, File(path))
        return Observation(it.source, it.identity, accesses=Accesses({key: Seen(FileRight.READ)}))

    async def script(request, context):
        yield started(request)
        yield snapshot(part(b"/srv/one"))
        yield snapshot(part(b"/srv/two"))
        yield snapshot(it, final=True)

    agent.script = script
    done = capture(recorder_cli, agent, "--kind", "accesses", "-f", "apparmor-text")
    assert done.returncode == 0, done.stderr
    assert {b'"/srv/one"', b'"/srv/two"'} <= set(done.stdout.split()), done.stdout
    assert list(agent.requests[0].kinds) == [pb.KIND_SYSCALLS, pb.KIND_ACCESSES]
    done = capture(
        recorder_cli, agent, "--kind", "accesses", "--kind", "denials", "-f", "apparmor", "--each", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert list(agent.requests[1].kinds) == [pb.KIND_SYSCALLS, pb.KIND_DENIALS, pb.KIND_ACCESSES]
    (profile,) = tmp_path.glob("*.yaml")
    assert yaml.safe_load(profile.read_text())["kind"] == "AppArmorProfile"


SELECTIONS = {
    "container": (["--container", "0123456789ab"], {"container": "0123456789ab"}),
    "pod": (["--pod", "shop/web-1"], {"pod": {"namespace": "shop", "name": "web-1"}}),
    "container of a pod": (
        ["--pod", "shop/web-1/nginx"],
        {"pod": {"namespace": "shop", "name": "web-1", "container": "nginx"}},
    ),
    "cgroup": (["--cgroup", "/a/b/"], {"cgroup": "/a/b"}),
    "cgroup without a slash": (["--cgroup", "a/b"], {"cgroup": "/a/b"}),
    "unit": (["--unit", "nginx"], {"unit": "nginx.service"}),
    "unit with its type": (["--unit", "user.slice"], {"unit": "user.slice"}),
    "pid": (["--pid", "17"], {"pid": 17}),
}


@pytest.mark.parametrize("case", SELECTIONS)
def test_what_is_selected_is_what_the_agent_is_asked_for(recorder_cli, agent, case):
    arguments, expected = SELECTIONS[case]
    agent.script = ends_with(observation(ended=True))
    done = recorder_cli.run("capture", "--agent", agent.address, "--duration", "7.5", *arguments)
    assert done.returncode == 0, done.stderr
    (request,) = agent.requests
    assert MessageToDict(request.selection) == expected
    assert request.duration.ToMilliseconds() == 7500
    assert re.fullmatch("[0-9a-f]{32}", request.capture_id)


def test_a_cgroup_may_be_given_with_its_mount(recorder_cli, agent, cgroup2):
    """As people copy it from the file system; the agent takes what is below the mount."""
    agent.script = ends_with(observation(ended=True))
    recorder_cli.run("capture", "--agent", agent.address, "--cgroup", cgroup2 / "a" / "b")
    recorder_cli.run("capture", "--agent", agent.address, "--cgroup", cgroup2)
    assert [each.selection.cgroup for each in agent.requests] == ["/a/b", "/"]


WRONG = {
    "nothing": ([], "USAGE", "say what to record"),
    "two": (["--container", "a", "--pid", "1"], "USAGE", "--container and --pid: select by one"),
    "pod": (["--pod", "web-1"], "USAGE", "is not NAMESPACE/NAME"),
    "pod without a name": (["--pod", "shop//nginx"], "USAGE", "is not NAMESPACE/NAME"),
    "pid": (["--pid", "-1"], "USAGE", "is no process id"),
    "pid 0": (["--pid", "0"], "USAGE", "is no process id"),
    "empty": (["--container", ""], "USAGE", "--container: it is empty"),
    "duration": (["--container", "a", "--duration", "nan"], "USAGE", "not a number of seconds above 0"),
    "reconnect": (["--container", "a", "--reconnect-for", "0"], "USAGE", "--reconnect-for: 0.0 is not"),
    "format": (["--container", "a", "-f", "toml"], "USAGE", "there is no format 'toml'"),
    "base": (["--container", "a", "--base", "docker"], "USAGE", "no base 'docker'"),
    "folder": (["--container", "a", "-o", "/no/such/folder/out"], "OUTPUT", "no folder /no/such/folder"),
    "each": (["--container", "a", "--each", "/no/such"], "OUTPUT", "no such folder"),
    "each and a file": (["--container", "a", "--each", "/tmp", "-o", "f"], "USAGE", "not together"),
    "address": (["--container", "a", "--agent", "nowhere"], "USAGE", "no port"),
    "no certificate": (["--container", "a", "--agent", "localhost:1"], "USAGE", "TLS alone"),
    "accesses of a process": (
        ["--pid", "1", "--kind", "accesses"],
        "USAGE",
        "--pid is not for --kind accesses",
    ),
    "half a pair": (["--container", "a", "--key", "k"], "USAGE", "--certificate and --key belong together"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_gets_its_own_message(recorder_cli, case):
    """125, one line that names the thing, no traceback."""
    arguments, code, text = WRONG[case]
    done = recorder_cli.run("capture", *arguments)
    assert done.returncode == 125
    assert re.fullmatch(rf"recorder: {code}: .*{re.escape(text)}.*", last_line(done.stderr)), done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_without_an_agent_nothing_is_waited_for(recorder_cli, tmp_path):
    """125 at once: that it never was there is no restart."""
    begun = time.monotonic()
    done = recorder_cli.run("capture", "--agent", f"unix:{tmp_path}/none", "--container", "web")
    assert done.returncode == 125
    assert "UNREACHABLE: no agent is running" in last_line(done.stderr)
    assert time.monotonic() - begun < 20


REFUSALS = {
    "fields": (
        InvalidFields([FieldError("selection.container", "is 'no', which is short", "give 12 characters")]),
        "INVALID_REQUEST: selection.container is 'no', which is short; give 12 characters",
    ),
    "not found": (NotFound("there is no container web"), "NOT_FOUND: there is no container web"),
    "role": (AccessDenied("capture in shop is not allowed"), "ACCESS_DENIED: capture in shop"),
    "bound": (LimitReached("captures: 256 of 256"), "LIMIT_REACHED: captures: 256 of 256"),
    "handler": (RemoteFailed("runs in a VM (kata)"), "REMOTE_FAILED: runs in a VM (kata)"),
    "hostile": (NotFound("no \x1b[2Jcontainer"), r"NOT_FOUND: no \x1b[2Jcontainer"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_says_what_the_agent_said(recorder_cli, agent, case):
    """With the field that is wrong; once, and not tried again."""
    error, text = REFUSALS[case]

    async def script(request, context):
        await abort(context, error)
        yield

    agent.script = script
    done = capture(recorder_cli, agent)
    assert done.returncode == 125
    assert last_line(done.stderr).startswith(f"recorder: {text}"), done.stderr
    assert len(agent.requests) == 1


def test_a_capture_outlives_the_agent(recorder_cli, agent):
    """The same capture is asked for again; what was seen before, meanwhile and later is in the result."""
    go_on = threading.Event()

    async def script(request, context):
        if len(agent.requests) == 1:
            yield started(request)
            yield snapshot(observation([0, 1]))
            await until(go_on)
        else:
            yield started(request, resumed=True)
            # State: what was there before is there again, except from an agent that lost it.
            yield snapshot(observation([2, 3], ended=True), final=True)

    agent.script = script
    with capturing(recorder_cli, agent, "-f", "names", "--watch", "--strict") as running:
        read_until(running, b"2 calls")
        agent.stop()
        read_until(running, b"lost the agent; trying to find it again for 60 s")
        agent.start()
        stdout, stderr = running.communicate(timeout=WAIT)
    assert running.returncode == 0, stderr
    assert b"found the agent again after" in stderr
    assert stdout.decode().split() == names([0, 1, 2, 3])
    assert len({each.capture_id for each in agent.requests}) == 1
    assert len({each.SerializeToString(deterministic=True) for each in agent.requests}) == 1


def test_an_agent_that_is_killed_again_and_again_costs_nothing(recorder_cli, tmp_path, scaled):
    """SIGKILL while calls come; the agent's next life has them, and the last word is whole."""
    address = tmp_path / "agent.sock"

    def serving() -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.cli.fake_agent", address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert process.stdout.readline() == b"serving\n"
        return process

    process = serving()
    rounds = scaled(10, 2)
    try:
        with recorder_cli.started(
            *("capture", "--agent", f"unix:{address}", "--container", "web", "-f", "record", "--watch"),
            "--strict",
        ) as running:
            for _ in range(rounds):
                read_until(running, b"new:")
                process.kill()
                process.wait(WAIT)
                read_until(running, b"lost the agent")
                process = serving()
                read_until(running, b"found the agent again")
            running.send_signal(signal.SIGINT)
            stdout, stderr = running.communicate(timeout=WAIT)
        assert running.returncode == 0, stderr
        (seen,) = from_json(stdout.decode()).observations
        assert seen.ended
        (numbers,) = seen.calls.values()
        assert list(numbers) == list(range(len(numbers)))
    finally:
        process.kill()
        process.wait(WAIT)


def test_an_agent_that_forgot_the_capture_is_a_loss(recorder_cli, agent):
    """Nobody knows what came in between: the verdict says so, and --strict fails."""
    drop = threading.Event()

    async def script(request, context):
        yield started(request, resumed=False)
        yield snapshot(observation(range(len(agent.requests)), ended=True), final=len(agent.requests) == 2)
        await until(drop)

    agent.script = script
    with capturing(recorder_cli, agent, "-f", "names", "--watch", "--strict") as running:
        read_until(running, b"1 calls")
        agent.stop()
        read_until(running, b"lost the agent")
        agent.start()
        stdout, stderr = running.communicate(timeout=WAIT)
    assert running.returncode == 125
    assert b"the agent has forgotten the capture" in stderr
    assert b"loss agent_lost 1:" in stderr
    assert last_line(stderr).startswith("recorder: INCOMPLETE: ")
    assert stdout.decode().split() == names([0, 1])


def test_an_agent_that_stays_away_ends_the_capture_with_what_was_seen(recorder_cli, agent, tmp_path):
    """After --reconnect-for: 125, the result is written, and its verdict is lossy."""
    hold = threading.Event()

    async def script(request, context):
        yield started(request)
        yield snapshot(observation([0, 1]), observation([2], cgroup=8, ended=True))
        await until(hold)

    agent.script = script
    out = tmp_path / "out"
    with capturing(
        recorder_cli, agent, "-f", "record", "-o", out, "--watch", "--reconnect-for", "0.5"
    ) as running:
        read_until(running, b"2 calls")
        read_until(running, b"1 calls")
        agent.stop()
        _, stderr = running.communicate(timeout=WAIT)
    assert running.returncode == 125
    assert last_line(stderr).startswith("recorder: UNREACHABLE: lost the agent for more than 0.5 s: ")
    open_one, ended_one = from_json(out.read_text()).observations
    assert open_one.ledger.counts == {"agent_lost": 1}
    assert ended_one.ledger.counts == {}


def test_a_stream_that_just_ends_is_no_end_of_the_capture(recorder_cli, agent):
    """Only a final snapshot is: without one it is asked for again."""

    async def script(request, context):
        yield started(request, resumed=len(agent.requests) > 1)
        yield snapshot(observation(range(len(agent.requests)), ended=True), final=len(agent.requests) == 3)

    agent.script = script
    done = capture(recorder_cli, agent, "-f", "names", "--strict")
    assert (done.returncode, len(agent.requests)) == (0, 3), done.stderr
    assert done.stdout.decode().split() == names(range(3))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_capture_with_the_agents_last_word(recorder_cli, agent, number):
    """The same request with a duration that is over asks for it; it has what came since the last snapshot."""
    hold = threading.Event()

    async def script(request, context):
        if request.HasField("duration"):
            yield started(request, resumed=True)
            yield snapshot(observation([0, 1, 2], ended=True), final=True)
            return
        yield started(request)
        yield snapshot(observation([0]))
        await until(hold)

    agent.script = script
    with capturing(recorder_cli, agent, "-f", "names", "--watch", "--strict") as running:
        read_until(running, b"1 calls")
        running.send_signal(number)
        stdout, stderr = running.communicate(timeout=WAIT)
    assert running.returncode == 0, stderr
    assert stdout.decode().split() == names([0, 1, 2])
    first, second = agent.requests
    assert first.capture_id == second.capture_id
    assert second.duration.ToMilliseconds() == 1


@pytest.mark.parametrize("strict", [False, True])
def test_a_second_signal_does_not_wait_for_the_agent(recorder_cli, agent, strict):
    """What it had said is written, as lossy: it may have had more to say."""
    hold = threading.Event()

    async def script(request, context):
        yield started(request)
        yield snapshot(observation([0]))
        await until(hold)

    agent.script = script
    options = ["--strict"] if strict else []
    with capturing(recorder_cli, agent, "-f", "names", "--watch", *options) as running:
        read_until(running, b"1 calls")
        running.send_signal(signal.SIGINT)
        end = time.monotonic() + WAIT
        while len(agent.requests) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=WAIT)
    assert running.returncode == (125 if strict else 0), stderr
    assert stdout.decode().split() == names([0])
    assert b"verdict: lossy: agent_lost 1" in stderr


def test_a_signal_before_the_agent_answers_is_no_result(recorder_cli, agent):
    """125, INTERRUPTED: there is nothing to write."""
    reached, hold = threading.Event(), threading.Event()

    async def script(request, context):
        reached.set()
        await until(hold)
        yield

    agent.script = script
    with capturing(recorder_cli, agent) as running:
        assert reached.wait(WAIT)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=WAIT)
    assert (running.returncode, stdout) == (125, b"")
    assert last_line(stderr).startswith("recorder: INTERRUPTED: ")


def test_the_duration_ends_it_by_our_clock_if_the_agent_does_not(recorder_cli, agent):
    """An agent that restarted may have begun to count anew."""

    async def script(request, context):
        if request.duration.ToMilliseconds() == 1:
            yield started(request, resumed=True)
            yield snapshot(observation([0, 1], ended=True), final=True)
            return
        yield started(request)
        while True:
            yield keep_alive()
            await asyncio.sleep(0.05)

    agent.script = script
    done = capture(recorder_cli, agent, "-f", "names", "--duration", "0.5", "--strict")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split() == names([0, 1])


def test_a_lossy_verdict_is_shown_and_strict_fails_for_it(recorder_cli, agent):
    """The agent's ledger is the record's."""
    agent.script = ends_with(observation(losses={"attached_late": 1, "ring_full": 2}, ended=True))
    done = capture(recorder_cli, agent, "-f", "names")
    assert done.returncode == 0
    assert b"verdict: lossy: attached_late 1" in done.stderr
    done = capture(recorder_cli, agent, "-f", "names", "--strict")
    assert done.returncode == 125
    assert done.stdout.decode().split() == names([0, 1, 2])
    assert last_line(done.stderr).startswith("recorder: INCOMPLETE: ")


def test_a_result_that_cannot_be_written_leaves_the_old_one(recorder_cli, agent, tmp_path):
    """125, OUTPUT; no half a file anywhere."""
    folder = tmp_path / "folder"
    folder.mkdir()
    go_on = threading.Event()

    async def script(request, context):
        yield started(request)
        yield snapshot(observation([0]))
        await until(go_on)
        yield snapshot(observation([0], ended=True), final=True)

    agent.script = script
    with capturing(recorder_cli, agent, "-o", folder / "out", "--watch") as running:
        read_until(running, b"1 calls")
        folder.rmdir()
        go_on.set()
        _, stderr = running.communicate(timeout=WAIT)
    assert running.returncode == 125
    assert last_line(stderr).startswith("recorder: OUTPUT: cannot write")

    agent.script = ends_with(observation([], ended=True))
    out = tmp_path / "out"
    out.write_text("before")
    assert capture(recorder_cli, agent, "-o", out).returncode == 125
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.sock", "out"]


def test_an_agent_that_talks_nonsense_is_an_error(recorder_cli, agent):
    """A record that can be none: what was seen before it is written, and the failure named."""

    async def script(request, context):
        yield started(request)
        yield snapshot(observation([0]))
        bad = snapshot(observation([1]), final=True)
        bad.snapshot.record.observations[0].ClearField("source")
        yield bad

    agent.script = script
    done = capture(recorder_cli, agent, "-f", "names")
    assert done.returncode == 125
    assert done.stdout.decode().split() == names([0])
    assert last_line(done.stderr).startswith("recorder: INVALID_RECORD: observations[0].source is missing")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\u202eevil\\"


def hostile_script():
    return ends_with(
        observation([0, 1], name=HOSTILE, pod=Pod(HOSTILE, HOSTILE), comm=b"\x1b[31m\xff\n", ended=True)
    )


def test_texts_of_containers_are_data(recorder_cli, agent):
    """Control characters and what reorders text are escaped, in lines as in the table."""
    agent.script = hostile_script()
    done = capture(recorder_cli, agent, "--watch", "-f", "names")
    assert done.returncode == 0, done.stderr
    text = done.stderr.decode()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert r"\x1b]0;owned\x07\x1b[2J\x0d\x0a\u202eevil\\" in text
    assert r"new: write, read (\x1b[31m\xff\x0a); ended" in text

    screen, status = on_a_terminal(recorder_cli, agent, "--watch", "-f", "names", "-o", "/dev/null")
    assert status == 0
    assert "\x1b]0;" not in screen
    assert "\u202e" not in screen
    assert r"\x1b]0;owned" in re.sub(r"\s", "", plain(screen))


def test_watch_without_a_terminal_is_lines(recorder_cli, agent):
    """One for each container and change: how many calls, the new ones with their comm, newest first."""
    agent.script = ends_with(observation([0, 1, 2], losses={"attached_late": 1}, ended=True))
    done = capture(recorder_cli, agent, "--watch", "-f", "names")
    assert (
        "recorder: shop/web-1/web: 3 calls, new: open, write, read (web); lossy: attached_late 1; ended\n"
    ) in done.stderr.decode()
    assert b"\x1b" not in done.stderr


def test_watch_on_a_terminal_is_a_table(recorder_cli, agent, tmp_path):
    """Redrawn while it runs, with the time since the last new call; the last state stays on the screen."""

    async def script(request, context):
        yield started(request)
        yield snapshot(observation([0, 1], comm=b"nginx"))
        await asyncio.sleep(5)  # the table is there at last, also where its libraries load slowly
        yield snapshot(observation([0, 1, 9], comm=b"nginx"), final=False)
        await asyncio.sleep(0.6)
        yield snapshot(observation([0, 1, 9], comm=b"nginx", ended=True), final=True)

    agent.script = script
    out = tmp_path / "out"
    screen, status = on_a_terminal(recorder_cli, agent, "--watch", "-f", "names", "-o", out)
    assert status == 0
    assert out.read_text().split() == names([0, 1, 9])
    text = plain(screen)
    for column in ("CONTAINER", "CALLS", "SET-UP", "NEWEST", "LAST NEW", "LEDGER"):
        assert column in text
    assert re.search(r"shop/web-1/web +2 +0 +write, read \(nginx\) +[1-9] s ago +complete", text)
    assert re.search(r"shop/web-1/web +3 +0 +mmap, write, read \(nginx\) +ended", text)
    assert "\x1b[?25h" in screen, "the cursor is shown again"
    assert text.index("verdict: complete") > text.rindex("shop/web-1/web")


def on_a_terminal(recorder_cli, agent, *arguments) -> tuple[str, int]:
    """All that the command wrote to its terminal of 160 columns, and its status."""
    main, side = pty.openpty()
    command = [*recorder_cli.words, "capture", "--agent", agent.address, "--container", "web"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
    with subprocess.Popen(
        [*command, *map(str, arguments)], stdin=side, stdout=side, stderr=side, env=environment
    ) as running:
        os.close(side)
        written = b""
        end = time.monotonic() + WAIT
        while select.select([main], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                data = os.read(main, 65536)
            except OSError:  # EIO: nobody has it open any more
                break
            written += data
        os.close(main)
        return written.decode(), running.wait(WAIT)


def plain(screen: str) -> str:
    """Without what moves the cursor or colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen)


def read_until(running: subprocess.Popen, text: bytes) -> bytes:
    """Reads stderr, line by line, up to one that has the text."""
    while line := running.stderr.readline():
        if text in line:
            return line
    raise AssertionError(f"stderr ended without {text!r}")


def test_only_the_commands_that_need_them_import_grpc_and_rich():
    """What is imported costs every command time and memory: `recorder record` has none of it."""
    program = (
        "import sys\nfrom recorder.cli.main import main\n"
        "try:\n    main(['record', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=WAIT)
    modules = Counter(done.stdout.decode().rpartition("MODULES")[2].split())
    assert modules["recorder"]
    assert not {"grpc", "rich", "google", "asyncio", "yaml"} & modules.keys()
