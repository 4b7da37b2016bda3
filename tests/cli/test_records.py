"""`recorder records`: the table, --explain, --watch and --json, by the Unix socket and with a token."""

import dataclasses
import json
import signal

import pytest
import yaml
from google.protobuf import json_format

from recorder.collector.store.sighting import Confirmation, Incoming
from recorder.collector.store.stored import StoredResult
from recorder.model.abi import Abi
from recorder.model.access import Signal, SignalRight
from recorder.model.denial import DenialKey
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Outcome,
    Phase,
    Pod,
    SightKey,
    Source,
)
from recorder.model.recording import ProfileKind
from recorder.model.wire import from_observation
from recorder.rpc.v1 import collector_pb2 as pb
from tests.collector.ground import Certificates, FakeReviewer
from tests.collector.memory_store import MemoryStore
from tests.collector.platform import FakePlatform, recording
from tests.collector.serving import serving
from tests.denials_given import apparmor, counted, selinux
from tests.unit.profiles.accessed import did, files
from tests.unit.profiles.test_selinux import avc
from tests.unit.rpc.certificates import Authority

HEAD = ["RECORDING", "CONTAINER", "RECORDS", "RUNNING", "CALLS", "ACCESSES"]
HEAD += ["DENIED", "VERDICT", "RESULTS", "NOTES"]
X86 = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.ALLOWED)
I386 = CallKey(Abi.I386, Phase.WORKLOAD, Outcome.ALLOWED)
DENIED = CallKey(Abi.X86_64, Phase.WORKLOAD, Outcome.DENIED)
SETUP = CallKey(Abi.X86_64, Phase.SETUP, Outcome.ALLOWED)
HOSTILE = "\x1b[2Jred\u202e"
SECOND = 1_000_000_000
BOOT = 1_700_000_000 * SECOND
"""2023-11-14T22:13:20Z, as the nodes' boot."""

SHOP, BLOG, EMPTY = recording("web", "shop"), recording("blog", "blog"), recording("later", "shop")


def seen(number, calls, *, name="nginx", namespace="shop", ended=False, image="", **more):
    """A container whose calls were first seen at second 1, 2, ... after the boot."""
    sights = {
        SightKey(*key, call): FirstSight((place + 1) * SECOND, b"nginx")
        for key, numbers in calls.items()
        for place, call in enumerate(numbers)
    }
    return Observation(
        Source("node-a", "boot", number, 1),
        Identity(
            name=name,
            container_id=f"{number:064x}",
            pod=Pod(namespace, f"web-{number}", f"uid-{number}"),
            image=image,
        ),
        calls={key: Numbers.of(numbers) for key, numbers in calls.items()},
        first_sights=sights,
        wall_offset_ns=BOOT + number * SECOND,
        ended=ended,
        **more,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("records-ca"))
    return Certificates(authority, authority.sign("DNS:localhost"))


@pytest.fixture
def collector(certificates, tmp_path):
    """read (0), write (1), open (2), close (3) of two pods; a third is not where its agent says."""
    store, platform = MemoryStore(), FakePlatform()
    for each in (SHOP, BLOG, EMPTY):
        platform.add(each)
        store.save(each)
    for one, to in (
        (seen(1, {X86: [0, 1], SETUP: [165]}), SHOP),
        (seen(2, {X86: [3, 0], I386: [4]}, ended=True), SHOP),
        (seen(3, {X86: [101]}), SHOP),
        (
            seen(4, {X86: [0], DENIED: [1]}, name="app", namespace="blog", ledger=Ledger({"slots_full": 2})),
            BLOG,
        ),
    ):
        store._put(Incoming(one, (to.id,)))
        confirmation = Confirmation.REFUSED if one.source.cgroup_id == 3 else Confirmation.CONFIRMED
        store.rows[one.source] = dataclasses.replace(store.rows[one.source], confirmation=confirmation)
    store.published[SHOP.id] = [
        StoredResult(SHOP.id, ProfileKind.SECCOMP, "nginx", name="web-nginx", state="final")
    ]
    reviewer = FakeReviewer(tokens={"token-a": "ann"}, readers={"ann": {"shop"}})
    with serving(certificates, tmp_path, store=store, platform=platform, reviewer=reviewer) as made:
        yield made


def table(done):
    """The lines of a table, as words; cells that are empty are hyphens."""
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    return [[word for word in line.split("  ") if word] for line in lines]


def stripped(lines):
    return [[word.strip() for word in line] for line in lines]


def test_a_line_for_each_container_s_name(recorder_cli, collector):
    """Records that count, those that run, calls of the workload in all ABIs, verdict, results, notes."""
    done = recorder_cli.run("records", "--collector", collector.unix)
    assert stripped(table(done)) == [
        HEAD,
        ["blog/blog", "app", "1", "1", "1", "0", "1", "lossy: slots_full 2", "-", "-"],
        ["shop/later", "-", "0", "0", "0", "0", "0", "-", "-", "nothing seen yet"],
        ["shop/web", "nginx", "2", "1", "4", "0", "0", "complete", "web-nginx (final)", "1 refused"],
    ]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["-n", "blog"], ["blog/blog"]),
        (["web"], ["shop/web"]),
        (["--namespace", "shop", "later"], ["shop/later"]),
        (["-n", "nothing"], []),
    ],
)
def test_those_that_are_asked_for(recorder_cli, collector, arguments, names):
    """By namespace, by name, by both."""
    done = recorder_cli.run("records", "--collector", collector.unix, *arguments)
    assert [line[0] for line in table(done)[1:]] == names


def test_a_recording_that_there_is_not_is_status_1(recorder_cli, collector):
    """And says so, with what was asked."""
    done = recorder_cli.run("records", "-n", "shop", "nothing", "--collector", collector.unix)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == (
        b"recorder: there is no recording nothing in the namespace shop, or none that you may read\n"
    )


def test_explain_says_of_each_call_who_made_it(recorder_cli, collector):
    """In how many records, first when by the wall clock and by which comm, in which containers."""
    done = recorder_cli.run("records", "web", "--explain", "--collector", collector.unix)
    lines = stripped(table(done))
    assert lines == [
        ["shop/web: container nginx, 2 records, verdict complete"],
        ["CALL", "ABI", "OUTCOME", "SEEN IN", "FIRST SEEN", "BY", "CONTAINERS"],
        ["close", "x86_64", "-", "1 of 2", "2023-11-14T22:13:23Z", "nginx", "shop/web-2/nginx"],
        [
            "read",
            "x86_64",
            "-",
            "2 of 2",
            "2023-11-14T22:13:22Z",
            "nginx",
            "shop/web-1/nginx, shop/web-2/nginx",
        ],
        ["write", "i386", "-", "1 of 2", "2023-11-14T22:13:23Z", "nginx", "shop/web-2/nginx"],
        ["write", "x86_64", "-", "1 of 2", "2023-11-14T22:13:23Z", "nginx", "shop/web-1/nginx"],
    ]


def test_explain_of_denied_calls_and_of_nothing(recorder_cli, collector):
    """A denied one says so; a recording without containers has a title alone."""
    done = recorder_cli.run("records", "--explain", "--collector", collector.unix)
    assert done.returncode == 0
    blog, later, _ = done.stdout.decode().split("\n\n")
    assert ["write", "x86_64", "denied"] in [line.split()[:3] for line in blog.splitlines()]
    assert later == "shop/later: 0 records, verdict complete"


def with_denials(collector):
    """Two containers of the shop that were denied the same; of one the name holds what breaks lines."""
    for number, count in ((1, 2), (2, 5)):
        found = {
            apparmor(): counted(count, number * SECOND, 9 * SECOND),
            selinux(HOSTILE.encode()): counted(),
        }
        one = seen(number, {X86: [0]}, denials=found)
        collector.do(lambda made, one=one: made.store._put(Incoming(one, (SHOP.id,))))


def test_explain_of_denials(recorder_cli, collector):
    """Each once, with the sum of its counts, who was denied it first and when; in the table their number."""
    with_denials(collector)
    done = recorder_cli.run("records", "web", "--explain", "--collector", collector.unix)
    lines = stripped(table(done))
    at = lines.index(["denied by AppArmor or SELinux, most frequent first:"])
    assert lines[at + 1] == [
        *("BY", "VERDICT", "COUNT", "WHAT", "OBJECT", "OF", "SEEN IN", "FIRST SEEN", "TASK", "CONTAINERS"),
        "NOTES",
    ]
    assert lines[at + 2] == [
        *("apparmor", "denied", "7", "open(write)", "/etc/shadow", "docker-default", "2 of 2"),
        *("2023-11-14T22:13:22Z", "cat", "shop/web-1/nginx, shop/web-2/nginx", "-"),
    ]
    assert lines[at + 3][:4] == ["selinux", "denied", "2", "file(read,open)"]
    assert lines[at + 3][4] == r"\x1b[2Jred\u202e tcontext=u:object_r:shadow_t:s0"
    assert len(lines) == at + 4
    done = recorder_cli.run("records", "web", "--collector", collector.unix)
    assert stripped(table(done))[1][6] == "2"


def test_json_has_denials(recorder_cli, collector):
    """Whole, as the record has them."""
    with_denials(collector)
    done = recorder_cli.run("records", "web", "--json", "--collector", collector.unix)
    assert done.stdout.isascii()
    messages = [json_format.Parse(line, pb.GetRecordsResponse()) for line in done.stdout.splitlines()]
    (first,) = (each.container for each in messages if each.container.id == 1)
    assert from_observation(first.observation).denials[selinux(HOSTILE.encode())] == counted()


def test_json_is_the_stream(recorder_cli, collector):
    """A message for each line, read by any implementation of the mapping."""
    done = recorder_cli.run("records", "web", "--json", "--collector", collector.unix)
    assert done.returncode == 0
    assert done.stdout.isascii()
    messages = [json_format.Parse(line, pb.GetRecordsResponse()) for line in done.stdout.splitlines()]
    assert [each.WhichOneof("entry") for each in messages] == ["recording", *["container"] * 3]
    assert messages[0].recording.results[0].name == "web-nginx"
    assert [each.container.observation.source.cgroup_id for each in messages[1:]] == [1, 2, 3]


def test_watch_prints_the_table_and_then_lines_that_change(recorder_cli, collector):
    """Where nothing can be drawn anew; Ctrl-C is its end, with status 0."""
    with recorder_cli.started("records", "web", "--watch", "--collector", collector.unix) as process:
        assert process.stdout.readline().decode().split() == HEAD
        assert b"web-nginx (final)" in process.stdout.readline()

        def more(made):
            one = seen(5, {X86: [0, 60]})
            made.store._put(Incoming(one, (SHOP.id,)))
            row = made.store.rows[one.source]
            made.store.rows[one.source] = dataclasses.replace(row, confirmation=Confirmation.CONFIRMED)
            made.service.records_changed([SHOP.id])

        collector.do(more)
        line = process.stdout.readline().decode().split()
        assert line[:6] == ["shop/web", "nginx", "3", "2", "5", "0"]
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out, error) == (0, b"", b"")


def test_watch_as_json(recorder_cli, collector):
    """Each event as it comes, `synced` among them."""
    with recorder_cli.started(
        "records", "later", "--watch", "--json", "--collector", collector.unix
    ) as process:
        assert list(json.loads(process.stdout.readline())) == ["recording"]
        assert json.loads(process.stdout.readline()) == {"synced": {}}


def test_with_a_token_those_that_it_may_read(recorder_cli, collector, certificates, tmp_path):
    """Over TCP, from a file or from stdin; what it may not read is not there, or refused by name."""
    file = tmp_path / "token"
    file.write_text("token-a\n")
    own = ["--collector", collector.tcp, "--ca", certificates.authority.certificate]
    done = recorder_cli.run("records", *own, "--token-file", file)
    assert [line[0] for line in table(done)[1:]] == ["shop/later", "shop/web"]
    done = recorder_cli.run("records", *own, "--token-file", "-", stdin=b"token-a")
    assert [line[0] for line in table(done)[1:]] == ["shop/later", "shop/web"]
    done = recorder_cli.run("records", "-n", "blog", *own, "--token-file", file)
    assert done.returncode == 3
    assert done.stderr.startswith(
        b"recorder: ACCESS_DENIED: you may not read the recordings of the namespace 'blog': "
    )
    done = recorder_cli.run("records", *own, "--token-file", "-", stdin=b"another")
    assert done.returncode == 3
    assert done.stderr.startswith(b"recorder: ACCESS_DENIED: the API server does not know the token")


def test_a_server_that_is_not_the_collector_gets_no_token(recorder_cli, collector, tmp_path):
    """Its certificate is of another CA."""
    stranger = Authority(tmp_path / "stranger")
    done = recorder_cli.run(
        *("records", "--collector", collector.tcp, "--ca", stranger.certificate, "--token-file", "-"),
        stdin=b"token-a",
    )
    assert done.returncode == 3
    assert b"UNTRUSTED" in done.stderr
    assert collector.ground.service.reviews._authority.asked == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--collector", "localhost:1"], "give --ca"),
        (["--collector", "unix:/x", "--ca", "f"], "needs no CA or token"),
        (["--collector", "nowhere"], "no port"),
        (["--watch", "--explain"], "give one of them"),
        (["--json", "--explain"], "give one of them"),
        (["--collector", "localhost:1", "--ca", "f", "--token-file", "/dev/null"], "holds no token"),
        (["--collector", "localhost:1", "--ca", "f", "--token-file", "/no/such"], "cannot read the token"),
    ],
)
def test_a_wrong_command_line_is_status_2(recorder_cli, arguments, text):
    """With what to do instead, and before anybody is asked."""
    done = recorder_cli.run("records", *arguments)
    assert done.returncode == 2, done.stderr
    assert text in done.stderr.decode()


def test_without_a_collector_the_status_is_3(recorder_cli, tmp_path):
    """With what is to be started."""
    done = recorder_cli.run("records", "--collector", f"unix:{tmp_path}/none")
    assert done.returncode == 3
    assert b"recorder: UNREACHABLE: no collector is running" in done.stderr
    assert b"recorder collector" in done.stderr


@pytest.mark.parametrize("how", [[], ["--explain"], ["--json"]])
def test_texts_of_containers_are_data(recorder_cli, collector, how):
    """Nothing that a terminal obeys."""
    one = seen(6, {X86: [0]}, name=HOSTILE, image=HOSTILE)
    collector.do(lambda made: made.store._put(Incoming(one, (SHOP.id,), HOSTILE)))
    done = recorder_cli.run("records", "--collector", collector.unix, *how)
    assert done.returncode == 0, done.stderr
    assert all(each.isprintable() or each == "\n" for each in done.stdout.decode())


@pytest.fixture
def accessed(collector):
    """Two pods of a recording: both have a program and a library; each its own files, one sends a signal."""
    asked = recording("files", "shop", kind=ProfileKind.APPARMOR)
    common = "rx /bin/app\nrm /lib/libc.so.6"
    first = files(f"{common}\nr /etc/a.conf").join(did((Signal(15), SignalRight.SEND)))
    # beyond a message of 512 KiB
    many = "\n".join(f"r /srv/data/{'x' * 200}{n}.bin" for n in range(4000))

    def put(made):
        store = made.store
        store.save(asked)
        for number, used in ((21, first), (22, files(f"{common}\n{many}"))):
            one = seen(number, {}, accesses=used)
            store._put(Incoming(one, (asked.id,)))
            row = store.rows[one.source]
            store.rows[one.source] = dataclasses.replace(row, confirmation=Confirmation.CONFIRMED)

    collector.do(put)
    return collector


def test_what_was_accessed_is_counted_in_the_table(recorder_cli, accessed):
    """Of the container that has most; the accesses themselves are not sent for it."""
    done = recorder_cli.run("records", "--collector", accessed.unix, "files")
    assert [line[5] for line in stripped(table(done))] == ["ACCESSES", "4002"]


def test_accesses_are_explained_as_rules(recorder_cli, accessed):
    """In how many records each was used, and what each pattern stands for; parts were joined."""
    done = recorder_cli.run("records", "--collector", accessed.unix, "files", "--explain")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    rules = {" ".join(line.split()) for line in lines[lines.index("accessed, as rules of a profile:") + 1 :]}
    assert {
        "RULE SEEN IN",
        '"/bin/app" rix, 2 of 2',
        '"/lib/libc.so.6" rm, 2 of 2',
        '"/etc/a.conf" r, 1 of 2',
        '"/srv/data/*.bin" r, 1 of 2',
        'signal (send) set=(term) peer="*", -',
    } <= rules
    (pattern,) = (line for line in lines if line.startswith("pattern: "))
    assert pattern.startswith("pattern: /srv/data/*.bin: threshold: 4000 names (more than 10): ")


def test_the_whole_profile_is_given_as_text(recorder_cli, accessed):
    """With what the abstract form has no field for; as the object, that is a warning."""
    done = recorder_cli.run("records", "--collector", accessed.unix, "files", "-f", "apparmor-text")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "profile files-nginx flags=(attach_disconnected,mediate_deleted) {" in text
    assert '  signal (send) set=(term) peer="*",\n' in text
    assert '  "/etc/a.conf" r,  # 1 of 2\n' in text
    done = recorder_cli.run("records", "--collector", accessed.unix, "files", "-f", "apparmor")
    spec = yaml.safe_load(done.stdout)["spec"]
    assert spec["abstract"]["filesystem"]["readOnlyPaths"] == ["/etc/a.conf", "/srv/data/*.bin"]
    assert b"recorder: warning: files-nginx: signals: used by the workload" in done.stderr


@pytest.mark.parametrize("form", ["cil", "selinux"])
def test_what_selinux_denied_is_given_as_a_profile(recorder_cli, collector, form):
    """Of two pods together; what an installer refuses is in the CIL, and a warning."""
    asked = recording("types", "shop", kind=ProfileKind.SELINUX)
    reads = avc("recording.process", "etc_t", "file", "read")
    hard = avc("recording.process", "recording.process", "capability", "setuid")

    def put(made):
        made.store.save(asked)
        for number, denied in ((31, reads), (32, hard)):
            one = seen(number, {X86: [0]}, denials={DenialKey("allowed", denied): counted()})
            made.store._put(Incoming(one, (asked.id,)))
            row = made.store.rows[one.source]
            made.store.rows[one.source] = dataclasses.replace(row, confirmation=Confirmation.CONFIRMED)

    collector.do(put)
    done = recorder_cli.run("records", "--collector", collector.unix, "types", "-f", form)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    if form == "cil":
        assert "(block types_nginx\n" in text
        assert "(allow process etc_t (file (read)))" in text
        assert "(allow process process (capability (setuid)))" in text
    else:
        assert yaml.safe_load(text)["spec"]["allow"] == {"etc_t": {"file": ["read"]}}
    assert b"recorder: warning: types-nginx: @self capability { setuid }" in done.stderr
    done = recorder_cli.run("records", "--collector", collector.unix, "web", "-f", form)
    assert done.returncode == 2
    assert b"SELinux denied nothing" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["files", "-f", "seccomp"], "--format: there is no format 'seccomp'"),
        (["-f", "apparmor-text"], "--format needs the NAME of a recording"),
        (["files", "-f", "apparmor", "--json"], "--json and --format: give one of them"),
    ],
)
def test_what_no_profile_is_made_of_is_refused(recorder_cli, collector, arguments, said):
    """Before anything is asked."""
    done = recorder_cli.run("records", "--collector", collector.unix, *arguments)
    assert done.returncode == 2
    assert said in done.stderr.decode()


def test_a_recording_without_accesses_gives_no_profile(recorder_cli, collector):
    """A profile that allows nothing would help nobody."""
    done = recorder_cli.run("records", "--collector", collector.unix, "web", "-f", "apparmor-text")
    assert done.returncode == 2
    assert b"no access was seen, so a profile would allow nothing" in done.stderr
    assert done.stdout == b""
