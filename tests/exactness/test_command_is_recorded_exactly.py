"""`recorder record -f names -- PROGRAM` gives exactly PROGRAM's calls, the exec that starts it included."""

import os
import shutil

import pytest

from tests.exactness.same_run import until_certain, watch_command
from tests.exactness.workloads import WORKLOADS
from tests.truth import programs, strace

pytestmark = pytest.mark.root


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_the_names_are_what_strace_saw_of_the_same_run(
    workload, prepare, recorder_cli, scratch_cgroup, scaled
):
    def run():
        words, folder = prepare(workload)
        return watch_command(recorder_cli, words, scratch_cgroup(), folder)

    for _ in range(scaled(3)):
        for names, truth in until_certain(run, workload.pending):
            assert truth.status == workload.status, truth.stdout
            assert sorted(set(names) - {str(call) for call in truth.uncertain}) == truth.names()
            assert names == sorted(names)


@pytest.mark.parametrize(
    "workload", [each for each in WORKLOADS if each.steady], ids=lambda workload: workload.name
)
def test_a_steady_program_gives_the_same_names_untraced_and_in_every_run(
    workload, prepare, recorder_cli, scaled
):
    words, folder = prepare(workload)
    # a shell asks for its folder if PWD is another: strace's starter sets it right, others do not
    truth = strace.run(words, cwd=folder, env={**os.environ, "PWD": str(folder)})
    for _ in range(scaled(3)):
        words, folder = prepare(workload)
        done = recorder_cli.run("record", "-f", "names", "--", *words, cwd=folder, env={"PWD": str(folder)})
        assert done.returncode == workload.status, done.stderr
        assert done.stdout.decode().splitlines() == truth.names()


def test_becoming_another_user_is_not_part_of_the_command(
    places, built_programs, recorder_cli, scratch_cgroup
):
    folder = places("user")
    program = shutil.copy(built_programs["five"], folder)
    names, truth = watch_command(recorder_cli, [program], scratch_cgroup(), folder, "--user", "nobody")
    assert names == truth.names() == sorted(map(str, programs.EXPECTED["five"] | programs.EXEC))


def test_a_server_recorded_as_another_user_is_recorded_exactly(prepare, recorder_cli, scratch_cgroup):
    (postgres,) = [each for each in WORKLOADS if each.name == "postgres"]

    def run():
        words, folder = prepare(postgres)
        words = words[words.index("--clear-groups") + 1 :]
        return watch_command(recorder_cli, words, scratch_cgroup(), folder, "--user", "nobody")

    for names, truth in until_certain(run):
        assert truth.status == 0
        assert sorted(set(names) - {str(call) for call in truth.uncertain}) == truth.names()
