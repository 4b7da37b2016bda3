"""What the kernel says of a loaded map or program (BPF_OBJ_GET_INFO_BY_FD)."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass

from recorder.kernel.libbpf import Libbpf, reason
from recorder.model.errors import BpfLoadError


class _MapInfo(ctypes.Structure):
    """The head of struct bpf_map_info (include/uapi/linux/bpf.h)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _ProgramInfo(ctypes.Structure):
    """The head of struct bpf_prog_info (include/uapi/linux/bpf.h), to recursion_misses (5.12)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
        ("ifindex", ctypes.c_uint32),
        ("gpl_compatible", ctypes.c_uint32),
        ("netns_dev", ctypes.c_uint64),
        ("netns_ino", ctypes.c_uint64),
        ("nr_jited_ksyms", ctypes.c_uint32),
        ("nr_jited_func_lens", ctypes.c_uint32),
        ("jited_ksyms", ctypes.c_uint64),
        ("jited_func_lens", ctypes.c_uint64),
        ("btf_id", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("nr_func_info", ctypes.c_uint32),
        ("nr_line_info", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("jited_line_info", ctypes.c_uint64),
        ("nr_jited_line_info", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("jited_line_info_rec_size", ctypes.c_uint32),
        ("nr_prog_tags", ctypes.c_uint32),
        ("prog_tags", ctypes.c_uint64),
        ("run_time_ns", ctypes.c_uint64),
        ("run_cnt", ctypes.c_uint64),
        ("recursion_misses", ctypes.c_uint64),
    )


@dataclass(frozen=True, slots=True)
class MapInfo:
    """Sizes in bytes. id: of the kernel's maps at the time."""

    id: int
    type: int
    key_size: int
    value_size: int
    max_entries: int


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """tag: a digest of the program's instructions; missed: runs that the kernel skipped.

    run_time_ns, run_count: only while kernel.bpf_stats_enabled is set.
    """

    tag: str
    run_time_ns: int
    run_count: int
    missed: int


def _fill(libbpf: Libbpf, fd: int, info: ctypes.Structure) -> None:
    size = ctypes.c_uint32(ctypes.sizeof(info))
    code = libbpf.bpf_obj_get_info_by_fd(fd, ctypes.addressof(info), ctypes.byref(size))
    if code < 0:
        raise BpfLoadError(f"the kernel gives no information on a BPF object: {reason(code)}")


def map_info(libbpf: Libbpf, fd: int) -> MapInfo:
    """Raises BpfLoadError."""
    info = _MapInfo()
    _fill(libbpf, fd, info)
    return MapInfo(info.id, info.type, info.key_size, info.value_size, info.max_entries)


def program_runs(libbpf: Libbpf, programs: Mapping[str, int]) -> Mapping[str, tuple[int, int]]:
    """By program, ns and how often it ran, while kernel.bpf_stats_enabled is set. Raises BpfLoadError."""
    found = {name: program_info(libbpf, fd) for name, fd in programs.items()}
    return {name: (each.run_time_ns, each.run_count) for name, each in found.items()}


def program_info(libbpf: Libbpf, fd: int) -> ProgramInfo:
    """Raises BpfLoadError.

    A tracing program that would run again on a CPU where it runs already is skipped
    (kernel/trace/bpf_trace.c, __bpf_trace_run); `missed` counts these.
    """
    info = _ProgramInfo()
    _fill(libbpf, fd, info)
    return ProgramInfo(
        bytes(info.tag).hex(), int(info.run_time_ns), int(info.run_cnt), int(info.recursion_misses)
    )
