"""A running guest for who asks: restored from its snapshot, or booted from the start."""

from tests.guest.build.recipe import Parts, Recipes
from tests.guest.cache import Artefact, Cache
from tests.guest.errors import GuestError
from tests.guest.machine import overlay
from tests.guest.runs import new_run, sweep
from tests.guest.snapshot import machine_of, snapshot_of
from tests.guest.spec import Spec
from tests.guest.vm import Guest


def _booted(cache: Cache, spec: Spec, parts: Parts) -> Guest:
    folder = new_run(cache.run)
    (folder / "initramfs").write_bytes(parts.initramfs())
    overlay(parts.disks()[0], "raw", folder / "disk.qcow2")
    return Guest(spec, machine_of(spec, parts, folder, folder / "disk.qcow2", memory=None), folder)


def _restored(cache: Cache, spec: Spec, parts: Parts, saved: Artefact) -> Guest:
    folder = new_run(cache.run)
    overlay(saved / "disk.qcow2", "qcow2", folder / "disk.qcow2")
    machine = machine_of(
        spec, parts, saved.folder, folder / "disk.qcow2", memory=saved / "memory", incoming=True
    )
    guest = Guest(spec, machine, folder)
    try:
        guest.restore(saved / "state")
    except BaseException:
        guest.stop()
        raise
    return guest


def start(spec: Spec, cache: Cache | None = None, *, fresh: bool = False) -> Guest:
    """A running guest: restored from a snapshot, or with `fresh` booted from the start.

    Makes what is missing or damaged first. MissingKernelError: it is not to be had.
    """
    cache = cache or Cache.default()
    sweep(cache.run)
    for _ in range(3):
        recipes = Recipes(cache)
        parts, saved = (recipes.parts(spec), None) if fresh else snapshot_of(recipes, spec)
        with cache.using():
            if not all(folder.exists() for folder in recipes.folders):
                continue  # another process has just taken one away
            if saved:
                return _restored(cache, spec, parts, saved)
            guest = _booted(cache, spec, parts)
            try:
                guest.qemu.ask("query-status")  # it has opened its files
                guest.wait_for_boot()
            except BaseException:
                guest.stop()
                raise
            return guest
    raise GuestError(f"what {spec} is made of is taken away again and again")
