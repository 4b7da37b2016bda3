"""Roles: what a configuration says, and what a peer may do by them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.errors import AccessDenied, InvalidSettings
from recorder.rpc.peer import Peer
from recorder.rpc.roles import Access, Roles
from recorder.rpc.v1 import agent_pb2 as pb

TABLE = {
    "spiffe://example.org/ci": {"capture": ["shop", "blog"]},
    "Debug.example.org": {"capture": "*", "host": True},
    "prometheus.example.org": {"status": True},
    "planner.example.org": {"plan": True},
}
SHOP, DEBUG, STATUS = "spiffe://example.org/ci", "debug.example.org", "prometheus.example.org"


def access(*names, local=False):
    return Access.of(Peer(names, local), Roles.parse(TABLE))


def rights(of, namespace="shop"):
    return (of.may_capture(namespace), of.may_host(), of.may_plan(), of.may_status())


def test_each_role_gives_what_it_says():
    """Capture covers its namespaces alone; nobody has what is not given; the socket's peer has all."""
    assert rights(access(SHOP)) == (True, False, False, False)
    assert rights(access(SHOP), "other") == (False, False, False, False)
    assert rights(access(DEBUG), "anything") == (True, True, False, False)
    assert rights(access(STATUS)) == (False, False, False, True)
    assert rights(access("planner.example.org")) == (False, False, True, False)
    assert rights(access(local=True), "anything") == (True, True, True, True)
    assert rights(access()) == rights(access("unknown.example.org")) == (False,) * 4


def test_names_are_equal_or_they_are_not():
    """No prefix, no suffix, no subdomain, no other case of a URI."""
    for name in (SHOP + "/x", SHOP[:-1], "SPIFFE://example.org/ci", "a." + DEBUG, "example.org"):
        assert rights(access(name)) == (False,) * 4


def test_a_peer_has_the_roles_of_all_its_names():
    """Joined, not the first one's alone."""
    assert rights(access(SHOP, STATUS)) == (True, False, False, True)


def test_capture_of_all_is_of_pods_alone():
    """ "*" gives no container outside of Kubernetes, and no empty namespace."""
    of = Access.of(Peer(("a",)), Roles.parse({"a": {"capture": "*"}}))
    assert of.may_see("any")
    assert not of.may_see(None)
    assert not of.may_capture("")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"a": {"captures": ["x"]}}, "there is no role 'captures'; there are capture, host, plan and status"),
        ({"a": {"host": 1}}, "host is 1; expected is true or false"),
        ({"a": {"capture": "shop"}}, "expected is a list of namespaces"),
        ({"a": {"capture": ["Shop"]}}, "'Shop' is no namespace"),
        ({"a": {"capture": [1]}}, "expected is a list of namespaces"),
        ({"a": True}, "expected is a table"),
        ({"*.example.org": {"status": True}}, "without wildcards"),
        ({"": {"status": True}}, "no name that counts"),
        ({1: {"status": True}}, "no name that counts"),
    ],
)
def test_a_wrong_table_is_refused(table, words):
    """With what is wrong and what is expected."""
    with pytest.raises(InvalidSettings) as refused:
        Roles.parse(table)
    assert words in str(refused.value)


def test_names_that_differ_in_case_are_one_host():
    """Their roles are joined, since a certificate matches both."""
    roles = Roles.parse({"A.example": {"host": True}, "a.example": {"status": True}})
    assert rights(Access.of(Peer(("a.example",)), roles)) == (False, True, False, True)


def denied(call):
    with pytest.raises(AccessDenied) as refused:
        call()
    return str(refused.value)


def test_what_is_denied_names_the_role():
    """Each by its own role; what is allowed returns."""
    nobody = access("unknown.example.org")
    assert "needs the role status" in denied(nobody.require_status)
    assert "needs the role plan" in denied(nobody.require_plan)
    assert "needs the role capture, or host" in denied(nobody.require_any)
    assert "unknown.example.org does not have" in denied(nobody.require_status)
    access(STATUS).require_status()
    access("planner.example.org").require_plan()
    access(SHOP).require_any()


@pytest.mark.parametrize(
    ("selection", "shop", "debug"),
    [
        (pb.Selection(pod=pb.PodSelection(namespace="shop", name="web")), True, True),
        (pb.Selection(pod=pb.PodSelection(namespace="other", name="web")), False, True),
        (pb.Selection(cgroup="/system.slice"), False, True),
        (pb.Selection(unit="nginx.service"), False, True),
        (pb.Selection(pid=1), False, True),
        (pb.Selection(container="web"), True, True),  # until it is known whose it is
        (pb.Selection(), False, True),
    ],
)
def test_selections_need_their_role(selection, shop, debug):
    """Pods by namespace; cgroups, units and processes by `host`; for a peer without roles nothing."""
    for of, allowed in ((access(SHOP), shop), (access(DEBUG), debug), (access(STATUS), False)):
        if allowed:
            of.require_selection(selection)
        else:
            assert "role" in denied(lambda of=of: of.require_selection(selection))
    access(local=True).require_selection(selection)


def test_a_hidden_container_and_none_at_all_look_the_same():
    """Who may not see it is not told whether it exists; who may see all is told that there is none."""
    shop, all_pods = access(SHOP), Access.of(Peer(("a",)), Roles.parse({"a": {"capture": "*"}}))
    of_other = denied(lambda: shop.require_found("other"))
    outside = denied(lambda: shop.require_found(None))
    missing = denied(lambda: shop.require_found(None, found=False))
    assert of_other == outside == missing
    assert denied(lambda: all_pods.require_found(None)) == denied(
        lambda: all_pods.require_found(None, found=False)
    )
    shop.require_found("shop")
    access(DEBUG).require_found(None)
    access(DEBUG).require_found(None, found=False)
    access(local=True).require_found("shop", found=False)


@given(
    st.dictionaries(
        st.sampled_from([SHOP, DEBUG, STATUS, "x.example"]),
        st.fixed_dictionaries(
            {},
            optional={
                "capture": st.one_of(st.just("*"), st.lists(st.sampled_from(["shop", "blog"]))),
                "host": st.booleans(),
                "plan": st.booleans(),
                "status": st.booleans(),
            },
        ),
    ),
    st.lists(st.sampled_from([SHOP, DEBUG, STATUS, "x.example", "y.example"])),
    st.sampled_from(["shop", "blog", "other"]),
)
def test_a_peer_has_what_one_of_its_names_is_given(table, names, namespace):
    """For any table and any names: nothing more, nothing less."""
    of = Access.of(Peer(tuple(names)), Roles.parse(table))
    given_to = [table[name] for name in names if name in table]
    assert rights(of, namespace) == (
        any(each.get("capture") == "*" or namespace in each.get("capture", []) for each in given_to),
        *(any(each.get(flag, False) for each in given_to) for flag in ("host", "plan", "status")),
    )
