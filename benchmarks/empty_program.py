"""An empty program on sys_enter, loaded and attached as the recorder's own are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recorder.kernel.libbpf import Libbpf, reason
from recorder.model.errors import BpfLoadError


class EmptyProgram:
    """The object of empty.bpf.c, loaded from entry to exit. Raises BpfLoadError."""

    def __init__(self, path: Path) -> None:
        self._libbpf = Libbpf()
        self._object = self._made(self._libbpf.bpf_object__open_file(os.fsencode(path), None), "open")

    def __enter__(self) -> Self:
        code = self._libbpf.bpf_object__load(self._object)
        if code:
            self._libbpf.bpf_object__close(self._object)
            raise BpfLoadError(f"cannot load the empty program: {reason(code)}\n{self._libbpf.log()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._libbpf.bpf_object__close(self._object)

    def _made(self, handle: Any, step: str) -> Any:
        if not handle:
            code = self._libbpf.last_error()
            raise BpfLoadError(f"cannot {step} the empty program: {reason(code)}\n{self._libbpf.log()}")
        return handle

    @contextmanager
    def attached(self) -> Iterator[None]:
        """From entry to exit it runs at each system call of the machine."""
        program = self._libbpf.bpf_object__find_program_by_name(self._object, b"empty")
        link = self._made(self._libbpf.bpf_program__attach(program), "attach")
        try:
            yield
        finally:
            self._libbpf.bpf_link__destroy(link)
