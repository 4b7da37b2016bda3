#!/usr/bin/env python3
"""Generate the protobuf stubs from proto/, with the pinned protoc.

Usage: .venv/bin/python scripts/generate_stubs.py [--output FOLDER]

A .proto file's path below proto/ is the Python path of its stubs, so that no
import has to be rewritten. Old stubs are removed first: one whose .proto is gone
must not survive. The stubs are committed, so an installation needs no protoc.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"


def pinned() -> str:
    """Return the version of grpcio-tools that pyproject.toml pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for requirement in project["project"]["optional-dependencies"]["dev"]:
        if match := re.fullmatch(r"grpcio-tools==(\S+)", requirement):
            return match[1]
    raise SystemExit("pyproject.toml pins no grpcio-tools==VERSION among its dev dependencies")


def generate(output: Path) -> None:
    """Write the stubs of every .proto file below `output`, after removing old ones."""
    if version("grpcio-tools") != pinned():
        raise SystemExit(
            f"grpcio-tools {version('grpcio-tools')} is installed, pyproject.toml pins {pinned()}: "
            f"another protoc writes other stubs; run `pip install grpcio-tools=={pinned()}`"
        )
    sources = sorted(PROTO.rglob("*.proto"))
    for package in {source.parent.relative_to(PROTO).parts[0] for source in sources}:
        for pattern in ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py"):
            for old in (output / package).rglob(pattern):
                old.unlink()
    output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO}"]
    command += [f"--python_out={output}", f"--pyi_out={output}"]
    subprocess.run([*command, *map(str, sources)], check=True)
    # Services are in proto/recorder/rpc alone: the record's stubs import no grpc.
    services = [source for source in sources if re.search(r"^service ", source.read_text(), re.MULTILINE)]
    command = [*command[:4], f"--grpc_python_out={output}"]
    subprocess.run([*command, *map(str, services)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT, metavar="FOLDER")
    generate(parser.parse_args().output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
