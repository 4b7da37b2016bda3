"""Cluster DNS: dnsmasq on the node's address, which answers for Services and for pods of headless ones.

Debian has no CoreDNS. What clients look up is the same: A records of SERVICE.NAMESPACE.svc.cluster.local, and
of HOSTNAME.SERVICE.NAMESPACE.svc.cluster.local. There are no SRV records.
"""

import http.client
import signal
import threading
from pathlib import Path
from typing import Any

from tests.cluster.client import Client
from tests.cluster.daemon import Daemon
from tests.cluster.errors import AnswerError
from tests.cluster.node.ground import HOST, Ground
from tests.cluster.node.kubelet import DOMAIN

HEADLESS = "service.kubernetes.io/headless"
AGAIN = 0.5  # seconds until a lost watch is begun again
WATCH = 3600.0


def service_names(service: dict[str, Any]) -> set[tuple[str, str]]:
    """(address, name) of a Service that has an address."""
    metadata, address = service["metadata"], service["spec"].get("clusterIP")
    if address in (None, "", "None"):
        return set()
    return {(address, f"{metadata['name']}.{metadata['namespace']}.svc.{DOMAIN}")}


def endpoint_names(endpoints: dict[str, Any]) -> set[tuple[str, str]]:
    """(address, name) of each pod of a headless Service."""
    metadata = endpoints["metadata"]
    if HEADLESS not in metadata.get("labels", {}):
        return set()
    service = f"{metadata['name']}.{metadata['namespace']}.svc.{DOMAIN}"
    found = set()
    for subset in endpoints.get("subsets") or ():
        for each in subset.get("addresses") or ():
            found.add((each["ip"], service))
            if each.get("hostname"):
                found.add((each["ip"], f"{each['hostname']}.{service}"))
    return found


class Names:
    """dnsmasq, and the threads that tell it."""

    def __init__(self, ground: Ground, program: Path, client: Client) -> None:
        self._client = client
        self._file = ground.folder / "hosts"
        self._file.write_text("")
        words = [
            *(program, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="),
            # a change of either would take the parent-death signal away (prctl(2))
            *("--user=root", "--group=root"),
            *("--bind-interfaces", f"--listen-address={HOST}", "--no-hosts", f"--addn-hosts={self._file}"),
            *("--no-resolv", f"--local=/{DOMAIN}/", "--local=/in-addr.arpa/", "--local-ttl=1"),
            "--log-facility=-",
        ]
        self.daemon = Daemon(
            "dnsmasq",
            words,
            ground.folder / "dnsmasq.log",
            lambda: self._listens(ground),
            before=lambda: ground.words,
        )
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], set[tuple[str, str]]] = {}
        self._ended = threading.Event()

    @staticmethod
    def _listens(ground: Ground) -> bool:
        try:
            ground.connect(HOST, 53, 2).close()
        except OSError:
            return False
        return True

    def start(self) -> None:
        """Begin to answer; `follow` makes it know names."""
        self.daemon.start()
        self.daemon.wait(30)

    def follow(self) -> None:
        """From now on it answers for what the API server has."""
        for kind, read in (("Service", service_names), ("Endpoints", endpoint_names)):
            threading.Thread(
                target=self._follow, args=(kind, read), name=f"names: {kind}", daemon=True
            ).start()

    def _follow(self, kind: str, read: Any) -> None:
        while not self._ended.is_set():
            try:
                listed = self._client.request("GET", self._client.path(kind, version="v1"))
                self._replace(kind, {_key(kind, each): read(each) for each in listed["items"]})
                since = listed["metadata"]["resourceVersion"]
                for event, each in self._client.watch(kind, version="v1", since=since, seconds=WATCH):
                    if self._ended.is_set():
                        return
                    self._change(_key(kind, each), set() if event == "DELETED" else read(each))
            except (OSError, http.client.HTTPException, AnswerError, ValueError):
                self._ended.wait(AGAIN)  # the API server may be away: as the watchers of any node

    def _replace(self, kind: str, found: dict[tuple[str, str, str], set[tuple[str, str]]]) -> None:
        with self._lock:
            self._known = {key: names for key, names in self._known.items() if key[0] != kind} | found
            self._tell()

    def _change(self, key: tuple[str, str, str], names: set[tuple[str, str]]) -> None:
        with self._lock:
            if self._known.get(key, set()) != names:
                self._known[key] = names
                self._tell()

    def _tell(self) -> None:
        lines = sorted({f"{address} {name}" for names in self._known.values() for address, name in names})
        text = "".join(f"{line}\n" for line in lines)
        if not self._ended.is_set() and self._file.read_text() != text:
            self._file.write_text(text)
            self.daemon.signal(signal.SIGHUP)

    def close(self) -> None:
        """End it; the threads end with their watches, when the API server does."""
        with self._lock:
            self._ended.set()
        self.daemon.kill()


def _key(kind: str, thing: dict[str, Any]) -> tuple[str, str, str]:
    return kind, thing["metadata"]["namespace"], thing["metadata"]["name"]
