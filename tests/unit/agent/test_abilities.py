"""What an agent says that its node can record."""

import pytest

from recorder.agent.abilities import Abilities
from recorder.agent.accesses import AccessReader
from recorder.agent.denials import Denials
from recorder.kernel.security_modules import security_modules
from recorder.model.errors import UnsupportedKernel
from recorder.rpc.v1 import agent_pb2 as pb
from tests.unit.agent.told_accesses import ToldAccesses


@pytest.fixture
def told() -> ToldAccesses:
    return ToldAccesses()


def problems(abilities):
    return {each.kind: each.problem for each in abilities.problems}


def test_what_is_switched_off_is_a_problem_of_that_kind():
    """Calls can always be recorded; each other kind is there, or the reason is."""
    abilities = Abilities(None, None)
    assert abilities.kinds == [pb.KIND_SYSCALLS]
    assert set(problems(abilities)) == {pb.KIND_DENIALS, pb.KIND_ACCESSES}
    assert '"auto"' in problems(abilities)[pb.KIND_DENIALS]


def test_a_part_of_the_denials_is_a_kind_with_a_problem():
    """Where nobody sees what AppArmor and SELinux deny, filters' calls are still to be had."""

    def cannot(folder):
        raise UnsupportedKernel("neither is active")

    denials = Denials(cannot)
    abilities = Abilities(denials, None)
    assert pb.KIND_DENIALS in abilities.kinds
    assert pb.KIND_DENIALS not in problems(abilities)
    denials.prepare()
    assert pb.KIND_DENIALS in abilities.kinds
    assert problems(abilities)[pb.KIND_DENIALS].endswith("neither is active")


def test_modules_are_the_kernels():
    """By name and mode, in its order."""
    assert [(each.name, each.mode) for each in Abilities(None, None).modules] == [
        (each.name, each.mode) for each in security_modules()
    ]


def test_accesses_are_a_kind_unless_the_kernel_refuses(told):
    """What it says is the problem."""
    reader = AccessReader(lambda _: told)
    assert pb.KIND_ACCESSES in Abilities(None, reader).kinds
    told.refuses = UnsupportedKernel("no fentry")
    reader.prepare()
    assert pb.KIND_ACCESSES not in Abilities(None, reader).kinds
    assert problems(Abilities(None, reader))[pb.KIND_ACCESSES].endswith("no fentry")
