"""Debian's packages through an apt state of its own: this machine's is read, never changed.

Sites, proxies and other ways of fetching are taken from the machine's own apt configuration.
"""

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.guest.build.tool import run_tool
from tests.guest.errors import BuildError

KEYRING = Path(
    "/usr/share/keyrings/debian-archive-keyring.gpg"
)  # keys of all releases; package debian-archive-keyring


@dataclass(frozen=True, slots=True)
class Sites:
    """Where this machine gets Debian from: the URIs of the archive and of its security updates."""

    main: str
    security: str

    @classmethod
    def of_this_machine(cls) -> "Sites":
        """Read from apt; BuildError where apt knows no Debian archive."""
        if platform.machine() != "x86_64":
            raise BuildError(f"guests are x86-64 and are built on x86-64; this is {platform.machine()}")
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        lines = run_tool("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)").decode().splitlines()
        sites = {release: site for site, _, release in (line.partition(" ") for line in lines)}
        if codename not in sites:
            raise BuildError(
                f"apt knows no archive for {codename or 'this system'}, "
                f"only {', '.join(sorted(sites)) or 'nothing'} (a Debian system? apt-get update?)"
            )
        return cls(sites[codename], sites.get(f"{codename}-security", sites[codename]))

    def lines(self, suites: Iterable[str], security: Iterable[str]) -> str:
        """The text of a sources.list."""
        options = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        return "".join(
            [f"deb {options}{self.main} {suite} main\n" for suite in suites]
            + [f"deb {options}{self.security} {suite} main\n" for suite in security]
        )


def fetch_options() -> str:
    """How this machine's apt fetches (proxies and so on), as text of an apt.conf."""
    wanted = re.compile(r"Acquire::(http|https|ftp|Check-|Retries|Max-|Allow)", re.IGNORECASE)
    lines = run_tool("apt-config", "dump").decode().splitlines()
    return "".join(f"{line}\n" for line in lines if wanted.match(line)) + 'Acquire::Retries "3";\n'


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a package, as an archive's index has it."""

    name: str
    version: str
    sha256: str


class Apt:
    """An apt state in `folder`, for all of `suites` at once."""

    def __init__(self, folder: Path, sources: str) -> None:
        self.folder = folder
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text(sources)
        (folder / "status").touch()
        (folder / "apt.conf").write_text(
            f'Dir::State::Lists "{folder}/lists";\n'
            f'Dir::State::status "{folder}/status";\n'
            f'Dir::Cache "{folder}/cache";\n'
            f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
            # the machine's own files are read after this one, and may switch the cache off
            'Dir::Etc::parts "/dev/null";\n'
            'Dir::Etc::main "/dev/null";\n'
            'APT::Sandbox::User "root";\n'
            'Acquire::Languages "none";\n' + fetch_options()
        )
        self.env = {"APT_CONFIG": str(folder / "apt.conf")}

    def update(self) -> str:
        """Fetch the indices; the result says which could not be had. The others are used."""
        try:
            run_tool("apt-get", "-q", "update", env=self.env)
        except BuildError as error:
            return str(error)
        return ""

    def names(self, prefix: str = "") -> set[str]:
        """Packages whose names begin so, and names that are only mentioned."""
        return set(run_tool("apt-cache", "pkgnames", prefix, env=self.env).decode().split())

    def newest(self, names: Iterable[str]) -> Mapping[str, Package]:
        """The newest version of each of these that there is."""
        known = sorted(self.names() & set(names))
        found: dict[str, Package] = {}
        if not known:
            return found
        for text in (
            run_tool("apt-cache", "show", "--no-all-versions", *known, env=self.env).decode().split("\n\n")
        ):
            fields = dict(re.findall(r"^(Package|Version|SHA256): (.*)$", text, re.MULTILINE))
            if len(fields) == 3:
                found[fields["Package"]] = Package(fields["Package"], fields["Version"], fields["SHA256"])
        return found

    def download(self, packages: Iterable[Package], folder: Path) -> list[Path]:
        """Fetch packages into a folder; apt checks their signed checksums."""
        before = set(folder.glob("*.deb"))
        words = [f"{package.name}={package.version}" for package in packages]
        run_tool("apt-get", "-q", "download", *words, cwd=folder, env=self.env)
        return sorted(set(folder.glob("*.deb")) - before)
