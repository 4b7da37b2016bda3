"""What agents and people may not do, with the API server as the judge; others are unaffected."""

from collections.abc import Iterator

import pytest

from recorder.model.record import Pod
from tests.cluster.scene import OPT_IN, Scene, condition, names, state


@pytest.fixture
def place(cluster: Scene) -> Iterator[str]:
    """A namespace with a recording whose honest pod, of node-a, is recorded whatever else happens."""
    place = cluster.namespace(OPT_IN)
    agent, web = cluster.agent(), cluster.container(cluster.pod(place, "web"))
    cluster.record(place, f"r-{place}")
    cluster.act(lambda: agent.see(web, "execve", "read"))
    yield place
    cluster.act(lambda: (agent.see(web, "write"), agent.end(web)))
    profile = cluster.profile(f"r-{place}-web", lambda each: state(each) == "final")
    assert {"execve", "read", "write"} <= set(names(profile))
    assert "reboot" not in names(profile)
    cluster.stop(agent)


def lie(
    cluster: Scene, pod: Pod, *, node: str = "node-b", name: str = "web", labels: dict | None = None
) -> None:
    """The agent of a node says that it saw `reboot` in a container of that pod; stored or refused."""
    agent = cluster.agent(node)
    container = cluster.container(pod, name, labels, serial=77)
    cluster.act(lambda: (agent.see(container, "execve", "reboot"), agent.end(container)))
    cluster.do(
        agent.until_planned(lambda plan: any(each.namespace == pod.namespace for each in plan.recordings))
    )
    cluster.stored(agent)
    cluster.stop(agent)


def only(cluster: Scene, place: str, why: str) -> None:
    """The recording has the honest pod's result alone, and its status says what was not believed."""
    status = cluster.status(
        place,
        lambda each: each.get("results") and why in condition(each, "Ready").get("message", ""),
        f"r-{place}",
    )
    assert {each["container"] for each in status["results"]} == {"web"}


def test_a_pod_that_is_on_another_node(cluster, place):
    """The agent of node-b reports a container of a pod of node-a."""
    pod = cluster.pod(place, "elsewhere", node="node-a")
    lie(cluster, pod, name="elsewhere")
    only(cluster, place, "not on the agent's node")


def test_a_pod_that_there_is_not(cluster, place):
    """Nobody but the agent knows it."""
    lie(cluster, Pod(place, "invented", "00000000-0000-0000-0000-000000000000"), name="invented")
    only(cluster, place, "gone before")


def test_a_pod_of_another_uid(cluster, place):
    """It was there once, or the agent guesses."""
    pod = cluster.pod(place, "again", node="node-b")
    lie(cluster, Pod(place, pod.name, "00000000-0000-0000-0000-000000000000"), name="again")
    only(cluster, place, "gone before")


def test_labels_that_the_pod_does_not_have(cluster, place):
    """The agent says app=web; the API server knows better."""
    pod = cluster.pod(place, "other", node="node-b", labels={"app": "db"})
    lie(cluster, pod, name="other")
    only(cluster, place, "selects the pod")


def test_two_pairs_of_names_that_give_one(cluster):
    """Recordings a-b with container c, and a with container b-c: two profiles, and both are told apart."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent("node-x")
    cluster.record(place, "a-b", containers=["c"])
    cluster.record(place, "a", containers=["b-c"])
    pod = cluster.pod(place, "web", node="node-x")
    first, second = cluster.container(pod, "c"), cluster.container(pod, "b-c")
    cluster.act(lambda: (agent.see(first, "execve", "mkdir"), agent.see(second, "execve", "rmdir")))
    found = {}
    for name in ("a-b", "a"):
        status = cluster.status(place, lambda each: each.get("results"), name)
        (result,) = status["results"]
        found[name] = result["name"]
    assert len(set(found.values())) == 2
    assert "a-b-c" in found.values()
    assert "mkdir" in names(cluster.profile(found["a-b"]))
    assert "rmdir" in names(cluster.profile(found["a"]))
    assert "rmdir" not in names(cluster.profile(found["a-b"]))
    cluster.told(place, "NameTaken")


def test_one_name_in_two_namespaces(cluster):
    """Profiles have no namespace: the second gets another name, with its namespace in front."""
    first, second = cluster.namespace(OPT_IN), cluster.namespace(OPT_IN)
    agent = cluster.agent("node-y")
    found = []
    for place, call in ((first, "mkdir"), (second, "rmdir")):
        cluster.record(place, "same")
        web = cluster.container(cluster.pod(place, "web", node="node-y"))
        cluster.act(lambda web=web, call=call: agent.see(web, "execve", call))
        (result,) = cluster.status(place, lambda each: each.get("results"), "same")["results"]
        found.append(result["name"])
    assert found == ["same-web", f"{second}-same-web"]
    assert "rmdir" not in names(cluster.profile(found[0]))
    assert "rmdir" in names(cluster.profile(found[1]))


def test_a_namespace_that_loses_its_label(cluster):
    """What was seen is published, and nothing more is taken."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent("node-z")
    cluster.record(place, f"r-{place}")
    pod = cluster.pod(place, "web", node="node-z")
    web = cluster.container(pod)
    cluster.act(lambda: agent.see(web, "execve", "read"))
    cluster.profile(f"r-{place}-web")
    key = next(iter(OPT_IN))
    cluster.client.patch("Namespace", place, {"metadata": {"labels": {key: None}}})
    profile = cluster.profile(f"r-{place}-web", lambda each: state(each) == "final")
    assert {"execve", "read"} <= set(names(profile))
    cluster.do(agent.until_planned(lambda plan: all(each.namespace != place for each in plan.recordings)))
    status = cluster.status(
        place,
        lambda each: any(
            condition["reason"] == "NotOptedIn" and condition["status"] == "False"
            for condition in each.get("conditions") or ()
        ),
        f"r-{place}",
    )
    assert status["results"][0]["state"] == "final"
