"""What only an agent can lose: whose the slots are that it took over."""

import pytest

from recorder.agent.state import State, StateFile
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import syscalls_spec
from recorder.model.record import Observation, Record, Source
from tests.ledger.judgement import assert_judged
from tests.leftovers.held import BOUNDS, holder

pytestmark = pytest.mark.root


@pytest.fixture
def pinned(bpffs, scratch_cgroup):
    """The folder of a recording's pins, whose process was killed."""
    with holder(bpffs / "held", scratch_cgroup(), scratch_cgroup()) as held:
        held.kill()
    return bpffs / "held"


def test_restart_without_state_by_a_damaged_file(pinned, tmp_path, capsys):
    """A slot was adopted: with the state nothing is lost, without it its owner is. No slot, no loss."""
    folder = tmp_path / "state"
    StateFile(folder, "boot").save(State())
    backend = LibbpfBackend(syscalls_spec(BOUNDS), adopt=pinned)
    try:
        adopted = bool(backend.targets())
        assert adopted
        whole = StateFile(folder, "boot").load()
        (folder / "state").write_bytes(b"damaged")
        damaged = StateFile(folder, "boot").load()
    finally:
        backend.close()
    source = Source("node", "boot", 1, 1)
    for loaded, losses in ((whole, {}), (damaged, {"restart_without_state": 1})):
        assert_judged(Record((Observation(source, ledger=loaded.ledger(adopted=adopted)),)), capsys, losses)
        assert_judged(Record((Observation(source, ledger=loaded.ledger(adopted=False)),)), capsys)
