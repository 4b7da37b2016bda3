"""The committed stubs are what the pinned protoc makes of proto/ today."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("generate_stubs", ROOT / "scripts" / "generate_stubs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stubs(root):
    """Return the stubs below a folder: path and content."""
    return {path.relative_to(root): path.read_bytes() for path in (root / "recorder").rglob("*_pb2.py*")}


def test_the_committed_stubs_are_fresh(script, tmp_path):
    """Generated anew they are the same, byte for byte, and none is left over."""
    script.generate(tmp_path)
    assert stubs(tmp_path)
    assert stubs(tmp_path) == stubs(ROOT)


def test_a_stub_whose_proto_is_gone_is_removed(script, tmp_path):
    """Old output does not survive; files beside it do."""
    folder = tmp_path / "recorder" / "record" / "v1"
    folder.mkdir(parents=True)
    for name in ("old_pb2.py", "old_pb2.pyi", "__init__.py"):
        (folder / name).touch()
    script.generate(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"__init__.py", "record_pb2.py", "record_pb2.pyi"}


def test_another_protoc_is_refused(script, monkeypatch, tmp_path):
    """The message says which version is wanted, and nothing is removed before it."""
    monkeypatch.setattr(script, "pinned", lambda: "0.0.1")
    (tmp_path / "recorder").mkdir()
    (tmp_path / "recorder" / "old_pb2.py").touch()
    with pytest.raises(SystemExit, match=r"grpcio-tools==0\.0\.1"):
        script.generate(tmp_path)
    assert (tmp_path / "recorder" / "old_pb2.py").exists()
