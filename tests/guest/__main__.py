"""`python -m tests.guest`: make what guests need, see what there is, run something in one."""

import argparse
import os
import shlex
import sys
import termios
import time
import tty
from pathlib import Path

from tests.guest.build.recipe import MissingKernelError, Recipes, wanted_specs
from tests.guest.cache import Cache, DamagedError, say
from tests.guest.checkout import push_checkout
from tests.guest.errors import GuestError, GuestTimeoutError
from tests.guest.runs import sweep
from tests.guest.snapshot import snapshot_of
from tests.guest.spec import INITS, LSM_WORDS, Spec
from tests.guest.start import start
from tests.guest.vm import Guest

EPILOG = "example: python -m tests.guest run -k 6.12 --checkout -- recorder check"


def build(options: argparse.Namespace) -> int:
    """Make what is missing, and again what is damaged; with --verify after reading all contents."""
    cache = Cache.default()
    begin = time.monotonic()
    sweep(cache.run)
    with cache.building():
        recipes = Recipes(cache, deep=options.verify)
        if options.refresh:
            recipes.refresh()
        for spec in wanted_specs():
            try:
                snapshot_of(recipes, spec)
            except MissingKernelError as error:
                say(f"no guest {spec}: {error}")
        cache.prune(recipes.folders)
    say(f"all there, in {cache.root} ({time.monotonic() - begin:.1f} s)")
    return 0


def status(options: argparse.Namespace) -> int:
    """List the kernels that were found and the artefacts that there are; makes nothing."""
    del options
    cache = Cache.default()
    lines = [f"cache: {cache.root}"]
    for kernel, version in sorted(Recipes(cache).known_versions().items()):
        lines.append(f"kernel {kernel}: {version.get('release') or version['missing']}")
    for place in sorted(cache.artefacts.iterdir()):
        name = place.name.rpartition("-")[0]
        size = sum(path.stat().st_blocks * 512 for path in place.rglob("*") if path.is_file()) >> 20
        try:
            manifest = cache.read(place)
            lines.append(f"{name}: {size} MiB, made {manifest['made']} in {manifest['seconds']} s")
        except DamagedError as error:
            lines.append(f"{name}: damaged: {error}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _prepare(options: argparse.Namespace) -> Guest:
    spec = Spec(
        options.kernel,
        options.lsm,
        options.init,
        options.cpus,
        options.memory,
        audit=not options.no_audit,
        counted=options.counted,
    )
    guest = start(spec, fresh=options.fresh)
    try:
        if options.checkout:
            push_checkout(guest)
        for pair in options.push:
            source, _, into = pair.partition(":")
            guest.push(Path(source), into or "/root")
    except BaseException:
        guest.stop()
        raise
    return guest


def run(options: argparse.Namespace) -> int:
    """Run a command in a new guest; its output and status are this command's."""
    words = options.command
    with _prepare(options) as guest:
        running = guest.begin(words[0] if len(words) == 1 else shlex.join(words))
        end = time.monotonic() + options.timeout
        while running.status is None:
            if time.monotonic() > end:
                raise GuestTimeoutError(f"no end in {options.timeout:g} s\n{guest.qemu.last_words()}")
            guest.poll()
            for stream, data in ((sys.stdout.buffer, running.stdout), (sys.stderr.buffer, running.stderr)):
                stream.write(data)
                stream.flush()
                data.clear()
        for pair in options.pull:
            source, _, into = pair.partition(":")
            guest.pull(source, Path(into or "."))
        return running.status


def shell(options: argparse.Namespace) -> int:
    """A terminal in a new guest."""
    size = os.get_terminal_size() if sys.stdin.isatty() else os.terminal_size((80, 24))
    inside = f"stty cols {size.columns} rows {size.lines}; TERM=linux exec bash -l"
    with _prepare(options) as guest:
        # script gives the shell a terminal; this one passes every key on
        running = guest.begin(["script", "-qec", inside, "/dev/null"], stdin=None)
        saved = termios.tcgetattr(0) if sys.stdin.isatty() else None
        try:
            if saved:
                tty.setraw(0)
            guest.connect(running, 0, sys.stdout.buffer)
        finally:
            if saved:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)
        return running.status or 0


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.guest", description=__doc__, epilog=EPILOG)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("build", help="make what is missing or damaged")
    verb.add_argument("--refresh", action="store_true", help="look for newer kernels")
    verb.add_argument("--verify", action="store_true", help="read all contents, not only sizes and times")
    verb.set_defaults(act=build)
    verbs.add_parser("status", help="what there is").set_defaults(act=status)
    for name, act in (("run", run), ("shell", shell)):
        verb = verbs.add_parser(name, help=(act.__doc__ or "").partition(";")[0].rstrip(".").lower())
        verb.add_argument("-k", "--kernel", default="6.1", help="a kernel of versions.lock (default: 6.1)")
        verb.add_argument("--lsm", choices=LSM_WORDS, default="apparmor")
        verb.add_argument("--init", choices=INITS, default="agent")
        verb.add_argument("--cpus", type=int, default=1)
        verb.add_argument("--memory", type=int, default=1024, help="MiB")
        verb.add_argument("--no-audit", action="store_true", help="boot it with audit=0")
        verb.add_argument("--counted", action="store_true", help="its clock counts instructions")
        verb.add_argument("--fresh", action="store_true", help="boot it from the start")
        verb.add_argument(
            "--checkout", action="store_true", help="push this checkout: `recorder` is a command then"
        )
        verb.add_argument("--push", action="append", default=[], metavar="FILE:FOLDER")
        verb.set_defaults(act=act)
        if name == "run":
            verb.add_argument("--pull", action="append", default=[], metavar="FILE:FOLDER")
            verb.add_argument("--timeout", type=float, default=600, help="seconds (default: 600)")
            verb.add_argument("command", nargs="+", help="one word is for sh")
    options = parser.parse_args()
    try:
        return int(options.act(options))
    except GuestError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
