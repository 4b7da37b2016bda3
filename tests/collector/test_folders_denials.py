"""Profiles of denials in folders: by a collector that serves, with what an agent tells of them."""

import asyncio
import subprocess
from pathlib import Path

import yaml

from recorder.collector.collector import Collector
from recorder.collector.folders.platform import Folders
from recorder.collector.settings import ListenSettings, ResultSettings, Settings, StoreSettings
from recorder.model.denial import DenialKey
from tests.collector.ground import WAIT
from tests.collector.simulated_agent import SimulatedAgent, SimulatedContainer
from tests.denials_given import counted
from tests.unit.profiles.test_completion import denial
from tests.unit.profiles.test_selinux import avc

TEMPLATE = Path(__file__).parents[1] / "unit" / "profiles" / "container.cil"
OURS = "recorder.x-k8s.io"


class Served:
    """A collector with two folders and an agent of this machine."""

    def __init__(self, folder: Path) -> None:
        self.recordings, self.results = folder / "recordings", folder / "results"
        self.recordings.mkdir()
        self.socket = folder / "collector.sock"
        self.collector = Collector(
            Settings(
                listen=ListenSettings(socket=self.socket),
                store=StoreSettings(path=folder / "collector.db"),
                results=ResultSettings(settle=0.2, first_write=0.05, last_write=0.1),
            ),
            Folders(self.recordings, self.results, folder / "folders.json", poll=0.05),
        )
        self._serial = 0

    async def __aenter__(self) -> "Served":
        await self.collector.start()
        self.agent = SimulatedAgent(f"unix:{self.socket}", "here")
        self._running = asyncio.create_task(self.agent.uplink.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self.collector.stop()

    def record(self, name: str, kind: str, **annotations: str) -> Path:
        """A file of a recording of all containers that have the label."""
        metadata = {"name": name, "annotations": {f"{OURS}/{key}": text for key, text in annotations.items()}}
        value = {
            "apiVersion": "security-profiles-operator.x-k8s.io/v1",
            "kind": "ProfileRecording",
            "metadata": metadata,
            "spec": {"kind": kind, "recorder": "Logs", "podSelector": {"matchLabels": {"app": "web"}}},
        }
        path = self.recordings / f"{name}.yaml"
        path.write_text(yaml.safe_dump(value))
        return path

    async def ran(self, module: str, *denials: object) -> None:
        """A container was denied these in complain or permissive mode, and has ended; it is stored."""
        self._serial += 1
        one = SimulatedContainer(
            "web", None, {"app": "web"}, self._serial, denials_by=f"seccomp sys_exit, {module} lsm"
        )
        await self.agent.until_planned(lambda plan: plan.recordings, WAIT)
        self.agent.see(one, "execve")
        self.agent.deny(one, {DenialKey("allowed", each): counted(1) for each in denials})  # type: ignore[arg-type]
        self.agent.end(one)
        await self.agent.until_stored(WAIT)

    async def read(self, file: str, until) -> dict:
        """A file of the results, once it is such."""
        async with asyncio.timeout(WAIT):
            while True:
                path = self.results / file
                if path.exists() and until(value := yaml.safe_load(path.read_text())):
                    return value
                await asyncio.sleep(0.02)


def is_final(value: dict) -> bool:
    return value["metadata"]["annotations"][f"{OURS}/state"] == "final"


def installed(value: dict) -> str:
    """What an installer makes of a SelinuxProfile: a block that inherits the template."""
    rules = [
        f"(allow process {'process' if target == '@self' else target} ({name} ({' '.join(permissions)})))"
        for target, classes in value["spec"]["allow"].items()
        for name, permissions in classes.items()
    ]
    return "\n".join(["(block web", "(blockinherit container)", *rules, ")"])


def test_a_selinux_profile_is_a_file_that_can_be_installed(tmp_path):
    """It is final when the container has ended, and as a policy it compiles."""

    async def run():
        async with Served(tmp_path) as served:
            served.record("it", "SelinuxProfile")
            await served.ran(
                "selinux",
                avc("recording.process", "etc_t", "file", "read open"),
                avc("recording.process", "recording.process", "process", "fork"),
            )
            return await served.read("it-web_selinuxprofile.yaml", is_final)

    value = asyncio.run(run())
    assert value["spec"]["allow"] == {"@self": {"process": ["fork"]}, "etc_t": {"file": ["open", "read"]}}
    assert value["metadata"]["annotations"][f"{OURS}/verdict"] == "complete"
    policy = tmp_path / "web.cil"
    policy.write_text(installed(value))
    output = ["-o", tmp_path / "policy", "-f", tmp_path / "contexts"]
    subprocess.run(
        ["secilc", "-c", "31", *output, TEMPLATE, policy], check=True, capture_output=True, timeout=60
    )


def test_a_profile_is_completed_where_it_stands(tmp_path):
    """A file of the folder of results, of a recording that is gone: what a person set in it stays."""

    async def run():
        async with Served(tmp_path) as served:
            first = served.record("first", "AppArmorProfile")
            await served.ran("apparmor", denial("open", "file", "read", "/etc/hosts", profile="unknown"))
            file = "first-web_apparmorprofile.yaml"
            made = await served.read(file, is_final)
            first.unlink()
            await served.agent.until_planned(lambda plan: not plan.recordings, WAIT)
            made["spec"]["state"] = "Enabled"  # a person decides that it is to be installed
            (served.results / file).write_text(yaml.safe_dump(made))
            served.record("second", "AppArmorProfile", update="first-web")
            lacked = denial("open", "file", "read", "/etc/app.conf", profile="first-web")
            await served.ran("apparmor", lacked)
            await served.read("second-web_apparmorprofile.yaml", is_final)
            return await served.read(
                file, lambda value: f"{OURS}/completed-by" in value["metadata"]["annotations"]
            )

    value = asyncio.run(run())
    assert value["spec"] == {
        "state": "Enabled",
        "mode": "Complain",
        "abstract": {"filesystem": {"readOnlyPaths": ["/etc/app.conf", "/etc/hosts"]}},
    }
    assert value["metadata"]["annotations"][f"{OURS}/completed-by"] == "second"
