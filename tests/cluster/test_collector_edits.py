"""A person edits a result: nothing is reverted, the recording says so, and the way back works."""

import pytest

from tests.cluster.client import Object
from tests.cluster.scene import OPT_IN, condition, names, state

EDITED = "recorder.x-k8s.io/edited"
CONTAINER = "spo.x-k8s.io/container-id"


def added(profile: Object) -> Object:
    rules = [{**each, "names": [*each["names"], "uname"]} for each in profile["spec"]["syscalls"][:1]]
    return {"spec": {"syscalls": [*rules, *profile["spec"]["syscalls"][1:]]}}


def removed(profile: Object) -> Object:
    first = profile["spec"]["syscalls"][0]
    kept = [each for each in first["names"] if each != "write"]
    return {"spec": {"syscalls": [{**first, "names": kept}, *profile["spec"]["syscalls"][1:]]}}


def relabelled(profile: Object) -> Object:
    return {"metadata": {"labels": {CONTAINER: "mine"}}}


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (added, "spec.syscalls"),
        (removed, "spec.syscalls"),
        (relabelled, f"metadata.labels[{CONTAINER}]"),
    ],
)
@pytest.mark.parametrize("when", ["recording", "final"])
def test_an_edit_is_kept_told_and_given_back(cluster, edit, field, when):
    """While the profile grows, and when it is final."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    pod = cluster.pod(place, "web")
    cluster.record(place, f"r-{place}")
    web = cluster.container(pod)
    name = f"r-{place}-web"
    cluster.act(lambda: agent.see(web, "execve", "read", "write"))
    if when == "final":
        cluster.act(lambda: agent.end(web))
    profile = cluster.profile(name, lambda each: state(each) == when)
    cluster.client.patch("SeccompProfile", name, edit(profile), manager="kubectl-edit")
    theirs = cluster.client.get("SeccompProfile", name)
    status = cluster.status(
        place, lambda each: condition(each, "Edited").get("status") == "True", f"r-{place}"
    )
    message = condition(status, "Edited")["message"]
    assert field in message
    assert "kubectl-edit" in message
    cluster.told(place, "Edited")

    # something new is seen: what is theirs stays
    more = cluster.container(pod, restart=1)
    cluster.act(lambda: (agent.see(more, "execve", "mkdir"), agent.end(more)))
    if when == "recording":
        cluster.act(lambda: agent.end(web))
    else:
        cluster.stored(agent)
    profile = cluster.profile(
        name,
        lambda each: (
            state(each) == "final"
            and (field == "spec.syscalls" or "mkdir" in names(each))
            and EDITED in each["metadata"]["annotations"]
        ),
    )
    assert profile["spec"]["state"] == "Enabled"
    if field == "spec.syscalls":
        assert profile["spec"]["syscalls"] == theirs["spec"]["syscalls"]
    else:
        assert profile["metadata"]["labels"][CONTAINER] == "mine"

    cluster.client.patch("SeccompProfile", name, {"metadata": {"annotations": {EDITED: None}}})
    profile = cluster.profile(
        name,
        lambda each: (
            "mkdir" in names(each)
            and "uname" not in names(each)
            and each["metadata"]["labels"][CONTAINER] == "web"
        ),
    )
    assert {"execve", "read", "write", "mkdir"} <= set(names(profile))
    cluster.status(place, lambda each: condition(each, "Edited").get("status") != "True", f"r-{place}")


def test_a_result_that_somebody_deletes_is_made_again(cluster):
    """While its recording is there: with all that was seen."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    pod = cluster.pod(place, "web")
    cluster.record(place, f"r-{place}")
    web, name = cluster.container(pod), f"r-{place}-web"
    cluster.act(lambda: (agent.see(web, "execve", "read"), agent.end(web)))
    before = cluster.profile(name, lambda each: state(each) == "final")
    cluster.client.delete("SeccompProfile", name)
    after = cluster.profile(name, lambda each: each["metadata"]["uid"] != before["metadata"]["uid"])
    assert after["spec"] == before["spec"]


def test_a_result_that_is_deleted_after_its_recording_stays_so(cluster):
    """Who tidies up has the last word."""
    place, agent = cluster.namespace(OPT_IN), cluster.agent()
    pod = cluster.pod(place, "web")
    cluster.record(place, f"r-{place}")
    web, name = cluster.container(pod), f"r-{place}-web"
    cluster.act(lambda: (agent.see(web, "execve", "read"), agent.end(web)))
    cluster.profile(name, lambda each: state(each) == "final")
    cluster.client.delete("ProfileRecording", f"r-{place}", place)
    cluster.client.delete("SeccompProfile", name)
    # another recording is done from its beginning to its end meanwhile
    other = cluster.container(pod, "other")
    cluster.record(place, f"s-{place}", containers=["other"])
    cluster.act(lambda: (agent.see(other, "execve", "read"), agent.end(other)))
    cluster.profile(f"s-{place}-other", lambda each: state(each) == "final")
    assert cluster.client.find("SeccompProfile", name) is None
