"""People read records with their own tokens: what a real API server lets them see, and nothing else."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.access import ServiceAccount
from tests.cluster.client import GROUP
from tests.cluster.scene import OPT_IN, Scene

READ = [{"apiGroups": [GROUP], "resources": ["profilerecordings"], "verbs": ["get"]}]


@pytest.fixture(scope="module")
def places(cluster: Scene, new_namespace: Callable[..., str]) -> tuple[str, str]:
    """Two namespaces with a recording each, of a container that runs."""
    made = new_namespace(OPT_IN), new_namespace(OPT_IN)
    for number, place in enumerate(made):
        agent = cluster.agent(f"node-{number}")
        web = cluster.container(cluster.pod(place, "web", node=agent.node))
        cluster.record(place)
        cluster.act(lambda agent=agent, web=web: agent.see(web, "execve", "read", "mkdir"))
        cluster.status(place, lambda each: each.get("results"))
    return made


def records(
    cluster: Scene, folder: Path, token: str, *words: str, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """`recorder records` of somebody who has that token."""
    file = folder / "token"
    file.write_text(token)
    command = [sys.executable, "-m", "recorder.cli.main", "records"]
    where = ["--collector", f"localhost:{cluster.collector.people_port}"]
    ca = ["--ca", str(cluster.collector.certificates.authority.certificate), "--token-file", str(file)]
    words = (*command, *where, *ca, *words)
    return subprocess.run(words, check=False, capture_output=True, text=True, timeout=seconds)


def reader(cluster: Scene, place: str) -> ServiceAccount:
    """Somebody who may read the recordings of one namespace."""
    account = cluster.server.service_account(place)
    cluster.server.grant(account, READ, place)
    return account


def test_a_reader_sees_their_own_namespace(cluster, places, tmp_path):
    """The table, the JSON and the explanation, while the pod runs; of the other namespace nothing."""
    first, second = places
    token = reader(cluster, first).token()
    table = records(cluster, tmp_path, token)
    assert (table.returncode, first in table.stdout, second in table.stdout) == (0, True, False), table
    said = records(cluster, tmp_path, token, "--json")
    assert said.returncode == 0, said
    told = [json.loads(line) for line in said.stdout.splitlines()]
    assert any(each.get("container", {}).get("observation", {}).get("calls") for each in told)
    assert second not in said.stdout
    why = records(cluster, tmp_path, token, "it", "--namespace", first, "--explain")
    assert why.returncode == 0, why
    assert "mkdir" in why.stdout
    assert "web" in why.stdout


def test_a_reader_of_one_namespace_asks_for_another(cluster, places, tmp_path):
    """Refused in every way of asking, and no word on whether there is something."""
    first, second = places
    token = reader(cluster, first).token()
    answers = []
    for words in (["it"], [], ["--explain"], ["--watch"], ["--json"], ["no-such-recording"]):
        answer = records(cluster, tmp_path, token, *words, "--namespace", second)
        assert answer.returncode == 3, answer
        assert answer.stdout == ""
        answers.append(answer.stderr)
    assert len(set(answers)) == 1, answers
    assert "ACCESS_DENIED" in answers[0]


def test_a_token_that_nobody_has(cluster, places, tmp_path):
    """Forged, of another audience, or none at all."""
    account = reader(cluster, places[0])
    for token in ("forged", account.token("elsewhere"), account.token()[:-4]):
        answer = records(cluster, tmp_path, token)
        assert answer.returncode == 3, answer
        assert answer.stdout == ""
        assert "Traceback" not in answer.stderr


def test_rights_that_are_given_and_taken(cluster, places, tmp_path):
    """Each counts within the ten seconds for which an answer of the API server is kept."""
    first, _ = places
    account = cluster.server.service_account(first)
    token = account.token()

    def until(status: int) -> None:
        end = time.monotonic() + 30
        while (answer := records(cluster, tmp_path, token, "--namespace", first)).returncode != status:
            assert time.monotonic() < end, answer
            time.sleep(0.5)

    until(3)
    cluster.server.grant(account, READ, first)
    until(0)
    cluster.client.delete_all("RoleBinding", first)
    until(3)
