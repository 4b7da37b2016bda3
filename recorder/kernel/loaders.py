"""Which loader: libbpf where the kernel can, bcc where it cannot, and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder.kernel.backend import Backend
from recorder.kernel.preemption import KERNEL_BTF
from recorder.kernel.spec import Bounds
from recorder.model.errors import (
    BpfLoadError,
    MissingLibrary,
    MissingObject,
    NoBtf,
    RecorderError,
    UnsupportedKernel,
    UsageError,
)

LOADERS = ("auto", "libbpf", "bcc")
OLDEST_KERNEL = (5, 8)
"""bcc's: ring buffers, and CLOCK_BOOTTIME in a program. libbpf's is recorder.kernel.loaded's."""

# What another loader may be the answer to. Not a missing privilege, a bound or a layout.
_OTHER_MAY_WORK = (NoBtf, UnsupportedKernel, BpfLoadError, MissingLibrary, MissingObject)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A backend, and why it is this one: a clause for a person, '' if it was asked for."""

    backend: Backend
    why: str


def _libbpf(bounds: Bounds) -> Backend:
    from recorder.kernel.spec import syscalls_spec

    if bounds.accesses:
        from recorder.kernel.access_backend import AccessBackend

        return AccessBackend(syscalls_spec(bounds))
    from recorder.kernel.libbpf_backend import LibbpfBackend

    return LibbpfBackend(syscalls_spec(bounds))


def _bcc(bounds: Bounds) -> Backend:
    # Here and not above: it costs a process that loads by libbpf memory for nothing.
    from recorder.kernel.bcc_backend import BccBackend
    from recorder.kernel.bcc_spec import bcc_spec
    from recorder.kernel.headers import find_headers

    system = os.uname()
    headers = find_headers(system.release, system.machine, os.environ)
    return BccBackend(bcc_spec(bounds, headers), headers)


OPENERS: Mapping[str, Callable[[Bounds], Backend]] = {"libbpf": _libbpf, "bcc": _bcc}


def load(
    loader: str,
    bounds: Bounds,
    *,
    kernel_btf: Path = KERNEL_BTF,
    openers: Mapping[str, Callable[[Bounds], Backend]] = OPENERS,
) -> Loaded:
    """A backend by the named loader, or by the first of auto's that works.

    Raises what the loader raises; for auto, bcc's error, with libbpf's behind it. For denied
    calls and accesses there is libbpf alone: UsageError for bcc.
    """
    if loader == "bcc" and bounds.denials:
        raise UsageError("--loader bcc is not for --kind denials: denied calls are found by libbpf alone")
    if loader == "bcc" and bounds.accesses:
        raise UsageError("--loader bcc is not for --kind accesses: they are seen by libbpf alone")
    if loader != "auto":
        return Loaded(openers[loader](bounds), "")
    if kernel_btf.exists():
        try:
            backend = openers["libbpf"](bounds)
            return Loaded(backend, f"since {kernel_btf} is there and the kernel takes the programs")
        except _OTHER_MAY_WORK as error:
            refusal: RecorderError = error
            why = f"since libbpf cannot: {str(error).splitlines()[0]}"
    else:
        refusal = NoBtf(f"{kernel_btf} is missing: the kernel was built without CONFIG_DEBUG_INFO_BTF")
        why = f"since there is no {kernel_btf}, which libbpf needs"
    if bounds.denials:
        _append(refusal, "bcc cannot find denied calls (--kind denials)")
        raise refusal
    if bounds.accesses:
        _append(refusal, "bcc cannot see accesses (--kind accesses)")
        raise refusal
    try:
        return Loaded(openers["bcc"](bounds), why)
    except RecorderError as error:
        _append(error, f"auto took bcc {why}")
        raise error from refusal


def _append(error: RecorderError, text: str) -> None:
    """To the first line of an error's text; lines of a log may follow it."""
    first, _, detail = str(error).partition("\n")
    error.args = (f"{first} ({text})\n{detail}" if detail else f"{first} ({text})",)
