"""What `recorder agent --remove` takes away, what it leaves, and what it says of both."""

import os
import socket
import subprocess

import pytest

from recorder.agent.removal import remove
from recorder.agent.settings import AgentSettings, ListenSettings, Settings
from recorder.model.errors import AddressInUse


@pytest.fixture
def places(tmp_path):
    """Folders of an agent's own, and what one that was killed has left in them."""
    run, spool, pins = tmp_path / "run", tmp_path / "lib/recorder/spool", tmp_path / "bpf/recorder"
    for each in (run, spool, pins / "maps", pins / "links", pins / "tasks/maps", pins / "of-another/maps"):
        each.mkdir(parents=True)
    for each in (pins / "maps/a", pins / "links/b", pins / "tasks/maps/c", pins / "of-another/maps/d"):
        each.touch()
    for name in ("state", "state.damaged", ".new-state"):
        (run / name).touch()
    for name in ("1.entry", "2.entry", "3.damaged", ".new-4.entry"):
        (spool / name).touch()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.fspath(run / "agent.sock"))
    listening.close()  # as of a process that is gone
    (run / ".agent.sock.new").mkdir()
    (run / ".agent.sock.new/s").touch()
    process = subprocess.Popen(["true"])
    process.wait()
    (run / "runs").mkdir()
    (run / f"runs/recorder-{process.pid}-1").write_text(f"/sys/fs/cgroup/recorder-{process.pid}-1")
    return Settings(
        agent=AgentSettings(state_directory=run, spool_directory=spool, pins=pins),
        listen=ListenSettings(socket=run / "agent.sock"),
    )


def test_all_of_it(places, tmp_path):
    """Nothing is left but the folders above; each thing is named; a second time there is nothing."""
    run, spool, pins = (
        places.agent.state_directory,
        places.agent.spool_directory,
        places.agent.pins,
    )
    said = remove(places, spool=True)
    assert not run.exists()
    assert not spool.exists()
    assert not pins.exists()
    assert (tmp_path / "bpf").is_dir()
    assert (tmp_path / "lib/recorder").is_dir()
    assert said == [
        f"removed {pins}: 4 pins of programs, maps and links",
        f"removed 3 files in {run}",
        "removed 1 cgroups of commands whose recorder was killed",
        f"removed {run / 'agent.sock'}",
        f"removed {run / '.agent.sock.new'}",
        f"removed 4 files in {spool}",
        f"removed {spool}",
        f"removed {run}",
    ]
    assert remove(places, spool=True) == []


def test_the_spool_stays_unless_it_is_asked_for(places):
    """Records that no collector has are somebody's, and are said to be there."""
    spool = places.agent.spool_directory
    before = sorted(each.name for each in spool.iterdir())
    for _ in range(2):
        said = remove(places)
        assert sorted(each.name for each in spool.iterdir()) == before
        assert any(each.startswith(f"left {spool}: 4 records that no collector has") for each in said)


def test_what_is_somebody_elses_stays(places):
    """A file of theirs, a folder with the name of ours, and a socket's path that is no socket."""
    run, spool = places.agent.state_directory, places.agent.spool_directory
    (run / "theirs").write_text("x")
    (spool / "notes.txt").write_text("x")
    (spool / "folder.entry").mkdir()
    (run / "agent.sock").unlink()
    (run / "agent.sock").write_text("x")
    remove(places, spool=True)
    assert sorted(each.name for each in run.iterdir()) == ["agent.sock", "theirs"]
    assert sorted(each.name for each in spool.iterdir()) == ["folder.entry", "notes.txt"]


def test_an_agent_that_serves(places):
    """Nothing is touched while one does."""
    path = places.listen.socket
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(path))
        listening.listen()
        with pytest.raises(AddressInUse, match="end it first"):
            remove(places)
    assert (places.agent.pins / "maps/a").exists()
    assert (places.agent.state_directory / "state").exists()


def test_where_nothing_ever_was(tmp_path):
    """It makes no folder, and says nothing."""
    agent = AgentSettings(state_directory=tmp_path / "a", spool_directory=tmp_path / "b", pins=tmp_path / "c")
    settings = Settings(agent=agent, listen=ListenSettings(socket=tmp_path / "d/s"))
    assert remove(settings, spool=True) == []
    assert list(tmp_path.iterdir()) == []
