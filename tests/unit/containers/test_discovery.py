"""Runtimes are found where they usually listen, each once, also when they come later."""

import asyncio

from recorder.containers.container import Manager
from recorder.containers.discovery import Discovery
from tests.unit.containers.fake_cri import serving
from tests.unit.containers.fake_docker import docker


def managers(found):
    return [each.manager for each in found]


def test_each_runtime_is_given_once(tmp_path):
    """Those that are there, then those that came; a configured one is not found again."""

    async def body():
        for folder in ("run/containerd", "run/crio", "var/lib/containers/storage"):
            (tmp_path / folder).mkdir(parents=True)
        discovery = Discovery(tmp_path)
        assert managers(discovery()) == [Manager.PODMAN]
        async with serving(tmp_path / "run/containerd/containerd.sock"), docker(tmp_path / "run/docker.sock"):
            assert managers(discovery()) == [Manager.CRI, Manager.DOCKER]
            assert discovery() == []
            async with serving(tmp_path / "run/crio/crio.sock"):
                configured = discovery.cri(tmp_path / "run/crio/crio.sock")
                assert configured.manager is Manager.CRI
                assert discovery() == []

    asyncio.run(body())


def test_a_socket_is_asked_what_it_speaks(tmp_path):
    """Docker answers HTTP, a CRI runtime does not; nor does nobody."""

    async def body():
        discovery = Discovery(tmp_path)
        async with serving(tmp_path / "cri.sock"), docker(tmp_path / "docker.sock"):
            names = ("cri.sock", "docker.sock", "none.sock")
            found = [await asyncio.to_thread(discovery.at, tmp_path / name) for name in names]
            assert managers(found) == [Manager.CRI, Manager.DOCKER, Manager.CRI]

    asyncio.run(body())
