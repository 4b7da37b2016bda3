"""What a CaptureRequest may say: examples of each field, and random messages."""

import math

import pytest
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from recorder.rpc.fields import InvalidFields
from recorder.rpc.requests import check_capture
from recorder.rpc.v1 import agent_pb2 as pb

POD = pb.PodSelection(namespace="shop", name="web-0")


def errors_of(request):
    """The errors of a request; none if it is good."""
    try:
        check_capture(request)
    except InvalidFields as error:
        return error.fields
    return ()


def wrong(**fields):
    """The paths of the fields that are wrong."""
    fields.setdefault("selection", pb.Selection(container="web"))
    return [each.field for each in errors_of(pb.CaptureRequest(**fields))]


def seconds(number, nanos=0):
    return duration_pb2.Duration(seconds=number, nanos=nanos)


@pytest.mark.parametrize(
    "selection",
    [
        pb.Selection(container="c" * 64),
        pb.Selection(container="my_app.1-x"),
        pb.Selection(pod=POD),
        pb.Selection(pod=pb.PodSelection(namespace="a", name="kube-proxy-node.example.com", container="c")),
        pb.Selection(cgroup="/"),
        pb.Selection(cgroup="/system.slice/nginx.service"),
        pb.Selection(cgroup="/a..b/...c/\u00e4"),
        pb.Selection(unit="nginx.service"),
        pb.Selection(unit=r"run-r\x2da@b:1.scope"),
        pb.Selection(pid=1),
        pb.Selection(pid=4194304),
    ],
)
def test_good_selections(selection):
    """What exists on real nodes passes."""
    assert wrong(selection=selection) == []


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        (pb.Selection(), "selection"),
        (pb.Selection(container=""), "selection.container"),
        (pb.Selection(container="a/b"), "selection.container"),
        (pb.Selection(container="a\n"), "selection.container"),
        (pb.Selection(container="-rf"), "selection.container"),
        (pb.Selection(container="c" * 254), "selection.container"),
        (pb.Selection(pod=pb.PodSelection(name="web-0")), "selection.pod.namespace"),
        (pb.Selection(pod=pb.PodSelection(namespace="shop")), "selection.pod.name"),
        (pb.Selection(pod=pb.PodSelection(namespace="a.b", name="c")), "selection.pod.namespace"),
        (pb.Selection(pod=pb.PodSelection(namespace="n" * 64, name="c")), "selection.pod.namespace"),
        (pb.Selection(pod=pb.PodSelection(namespace="a", name="c..d")), "selection.pod.name"),
        (pb.Selection(pod=pb.PodSelection(namespace="a", name="c\n")), "selection.pod.name"),
        (
            pb.Selection(pod=pb.PodSelection(namespace="a", name="c", container="C")),
            "selection.pod.container",
        ),
        (pb.Selection(cgroup=""), "selection.cgroup"),
        (pb.Selection(cgroup="relative"), "selection.cgroup"),
        (pb.Selection(cgroup="/a/../b"), "selection.cgroup"),
        (pb.Selection(cgroup="/.."), "selection.cgroup"),
        (pb.Selection(cgroup="/a/."), "selection.cgroup"),
        (pb.Selection(cgroup="//a"), "selection.cgroup"),
        (pb.Selection(cgroup="/a/"), "selection.cgroup"),
        (pb.Selection(cgroup="/a\0b"), "selection.cgroup"),
        (pb.Selection(cgroup="/a\x1b[2J"), "selection.cgroup"),
        (pb.Selection(cgroup="/" + "\u00e4" * 2048), "selection.cgroup"),
        (pb.Selection(unit="nginx"), "selection.unit"),
        (pb.Selection(unit="a b.service"), "selection.unit"),
        (pb.Selection(unit="a/b.service"), "selection.unit"),
        (pb.Selection(unit="u" * 248 + ".service"), "selection.unit"),
        (pb.Selection(pid=0), "selection.pid"),
        (pb.Selection(pid=4194305), "selection.pid"),
    ],
)
def test_wrong_selections(selection, field):
    """The one field that is wrong is named."""
    assert wrong(selection=selection) == [field]


@pytest.mark.parametrize(
    ("duration", "good"),
    [
        (seconds(0), False),
        (seconds(0, 999_999), False),
        (seconds(0, 1_000_000), True),
        (seconds(2_592_000), True),
        (seconds(2_592_000, 1), False),
        (seconds(-1), False),
        (seconds(1, -1), False),
        (seconds(1, 1_000_000_000), False),
        (seconds(2**62), False),
    ],
)
def test_durations(duration, good):
    """From a millisecond to 30 days, in the form that the proto's own rules give."""
    assert wrong(duration=duration) == ([] if good else ["duration"])


@pytest.mark.parametrize(
    ("rate", "good"),
    [
        *((0, True), (-0.0, True), (0.001, True), (100, True), (0.0009, False), (100.1, False), (-1, False)),
        *((math.nan, False), (math.inf, False), (-math.inf, False), (5e-324, False)),
    ],
)
def test_rates(rate, good):
    """0, or one snapshot in 1,000 s to 100 a second; no infinity and no NaN."""
    assert wrong(snapshots_per_second=rate) == ([] if good else ["snapshots_per_second"])


@pytest.mark.parametrize(
    ("kinds", "fields"),
    [
        ([], []),
        ([1, 1], []),
        ([0], ["kinds[0]"]),
        ([1, 2, 3], []),
        ([1, 4], ["kinds[1]"]),
        ([-1], ["kinds[0]"]),
        ([1] * 17, ["kinds"]),
        ([9] * 16, [f"kinds[{index}]" for index in range(8)]),
    ],
)
def test_kinds(kinds, fields):
    """Known kinds alone, each wrong one by its place; the answer is bounded."""
    assert wrong(kinds=kinds) == fields


@pytest.mark.parametrize(
    ("capture_id", "good"),
    [
        ("", True),
        ("a-Z_9", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("a b", False),
        ("a\n", False),
        ("ä", False),
    ],
)
def test_capture_ids(capture_id, good):
    """1 to 64 of A-Z, a-z, 0-9, _ and -; or none."""
    assert wrong(capture_id=capture_id) == ([] if good else ["capture_id"])


@pytest.mark.parametrize(
    ("phases", "good"), [("", True), ("exec", True), ("container", True), ("setup", False), ("EXEC", False)]
)
def test_phases(phases, good):
    """The two ways to tell phases apart, or none."""
    assert wrong(phases=phases) == ([] if good else ["phases"])


def test_all_that_is_wrong_is_said_at_once():
    """Several fields, in the request's order."""
    assert wrong(selection=pb.Selection(pid=0), kinds=[7], capture_id="?", phases="?") == [
        *("selection.pid", "kinds[0]", "capture_id", "phases")
    ]


texts = st.one_of(
    st.sampled_from(["", "web", "shop", "/", "/a/b", "/a/../b", "nginx.service", "exec", "../../etc"]),
    st.text(st.characters(codec="utf-8"), max_size=80),
    st.text("x", min_size=200, max_size=300),
)
selections = st.one_of(
    st.none(),
    st.builds(lambda text: pb.Selection(container=text), texts),
    st.builds(
        lambda namespace, name, container: pb.Selection(
            pod=pb.PodSelection(namespace=namespace, name=name, container=container)
        ),
        *[texts] * 3,
    ),
    st.builds(lambda text: pb.Selection(cgroup=text), texts),
    st.builds(lambda text: pb.Selection(unit=text), texts),
    st.builds(lambda pid: pb.Selection(pid=pid), st.integers(0, 2**32 - 1)),
)
durations = st.one_of(
    st.none(), st.builds(seconds, st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
)
requests = st.builds(
    pb.CaptureRequest,
    selection=selections,
    kinds=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20),
    duration=durations,
    snapshots_per_second=st.floats(),
    capture_id=texts,
    phases=texts,
)


def exists(path):
    """Whether the message type has that field; its descriptor is the truth."""
    message, found = pb.CaptureRequest.DESCRIPTOR, None
    for part in path.split("."):
        name = part.partition("[")[0]
        found = message.fields_by_name.get(name)
        if found is None:
            return False
        message = found.message_type
    return True


@given(requests)
def test_any_request_is_good_or_its_wrong_fields_are_named(request_):
    """Whatever is sent: it passes, or each error has a field of the message and a bounded, printable text."""
    errors = errors_of(request_)
    for each in errors:
        assert exists(each.field), each
        assert each.text.isascii()
        assert each.text.isprintable()
        assert 10 < len(each.text) <= 240
    if not errors:
        assert request_.selection.WhichOneof("by") is not None
        assert ".." not in request_.selection.cgroup.split("/")


@given(st.binary(max_size=300))
def test_bytes_that_parse_are_good_or_refused(content):
    """Messages from random bytes, unknown fields included, raise nothing else."""
    try:
        parsed = pb.CaptureRequest.FromString(content)
    except DecodeError:
        return
    assert all(exists(each.field) for each in errors_of(parsed))
