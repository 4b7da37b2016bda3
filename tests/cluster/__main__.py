"""`python -m tests.cluster`: build what the tests' API server needs, see what there is, use one by hand."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster import crds
from tests.cluster.build.recipe import Lock, Recipes
from tests.cluster.errors import ClusterError
from tests.cluster.start import CACHE, find_programs, open_cache, running
from tests.guest.cache import Cache, DamagedError, say
from tests.guest.errors import BuildError

EPILOG = "example: python -m tests.cluster run --crds deploy/crds -- kubectl get crds"


def build(options: argparse.Namespace) -> int:
    """Make what is missing, and again what is damaged; with --verify after reading all contents."""
    cache = Cache.default(CACHE)
    begin = time.monotonic()
    Recipes(cache, deep=options.verify).build()
    say(f"all there, in {cache.root} ({time.monotonic() - begin:.1f} s)", CACHE)
    return 0


def status(options: argparse.Namespace) -> int:
    """List the artefacts that there are; makes nothing."""
    del options
    cache = Cache.default(CACHE)
    lock = Lock.read()
    lines = [f"cache: {cache.root}", f"wanted: {lock.source} of {lock.suite}: {', '.join(lock.components)}"]
    for place in sorted(cache.artefacts.iterdir()):
        name = place.name.rpartition("-")[0]
        size = sum(path.stat().st_blocks * 512 for path in place.rglob("*") if path.is_file()) >> 20
        try:
            manifest = cache.read(place)
            facts = manifest["facts"].get("version") or ", ".join(manifest["facts"]["files"])
            lines.append(f"{name}: {size} MiB, made {manifest['made']} in {manifest['seconds']} s: {facts}")
        except DamagedError as error:
            lines.append(f"{name}: damaged: {error}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run a command with KUBECONFIG for a new API server; its status is this command's."""
    cache = open_cache()
    with running(cache, find_programs(cache)) as server:
        for folder in options.crds:
            crds.install(server.client, folder)
        command = options.command or [os.environ.get("SHELL", "sh")]
        return subprocess.run(
            command, env={**os.environ, "KUBECONFIG": str(server.kubeconfig)}, check=False
        ).returncode


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__, epilog=EPILOG)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="make what is missing or damaged")
    verb.add_argument("--verify", action="store_true", help="read all contents, not only sizes and times")
    verb.set_defaults(act=build)
    verbs.add_parser("status", help="what there is").set_defaults(act=status)
    verb = verbs.add_parser("run", help="a command, or a shell, beside a new API server")
    verb.add_argument(
        "--crds", type=Path, action="append", default=[], metavar="FOLDER", help="install these"
    )
    verb.add_argument("command", nargs="*")
    verb.set_defaults(act=run)
    options = parser.parse_args()
    try:
        return int(options.act(options))
    except (BuildError, ClusterError) as error:
        say(str(error), CACHE)
        return 1


if __name__ == "__main__":
    sys.exit(main())
