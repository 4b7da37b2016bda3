"""Settings: file < environment < flags, in step with each other, and clear when they are wrong."""

import argparse
import dataclasses
import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from recorder.agent.settings import ListenSettings, MemorySettings, RoleSettings, Settings
from recorder.agent.settings_sources import SOURCES
from recorder.model.errors import InvalidSettings
from recorder.service.setting import Duration, Size, Text, setting_of, size_text

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "agent.example.toml"

ALL = [
    (section.name, setting_of(section.name, each))
    for section in dataclasses.fields(Settings)
    if dataclasses.is_dataclass(section.default)
    for each in dataclasses.fields(section.default)
]


def loaded(*arguments, environment=None, file=None):
    parser = argparse.ArgumentParser(exit_on_error=False)
    SOURCES.add_flags(parser)
    given_file = ["--config", str(file)] if file else []
    return SOURCES.load(parser.parse_args([*given_file, *arguments]), environment or {})


@pytest.fixture
def written(tmp_path):
    """`written(text)`: a file of settings."""

    def write(text):
        path = tmp_path / "agent.toml"
        path.write_text(text)
        return path

    return write


def test_the_example_parses_to_the_defaults():
    """Who copies it changes nothing; the node is the kernel's name of the machine."""
    assert loaded(file=EXAMPLE) == loaded() == Settings()
    assert Settings().agent.node == os.uname().nodename


def test_the_example_is_up_to_date():
    """scripts/generate_docs.py writes it from the settings."""
    assert EXAMPLE.read_text() == SOURCES.example()


def test_the_example_has_every_setting_with_its_flag():
    """Read by a TOML parser of its own; only the node is a comment."""
    document = tomllib.loads(EXAMPLE.read_text())
    found = {(section, name) for section, content in document.items() for name in content}
    assert found == {(section, each.name) for section, each in ALL} - {("agent", "node")}
    assert all(f"({each.flag})" in EXAMPLE.read_text().replace("\n#", "") for _, each in ALL)


def test_the_examples_role_is_a_role(written):
    """Its lines are valid once they are no comments any more."""
    text = EXAMPLE.read_text()
    lines = text[text.index("# [roles") :].replace("# [", "[").replace("\n# ", "\n")
    assert loaded(file=written(lines)).roles == {"collector.example.org": RoleSettings(("shop",))}


def test_flags_win_over_the_environment_and_that_over_the_file(written):
    """Each source alone, then all of them."""
    file = written("[memory]\nslots = 1\nchildren = 2\njoiners = 3\n")
    environment = {"RECORDER_AGENT_MEMORY_CHILDREN": "20", "RECORDER_AGENT_MEMORY_JOINERS": "30"}
    assert loaded(file=file).memory.joiners == 3
    memory = loaded("--memory-joiners", "300", environment=environment, file=file).memory
    assert (memory.slots, memory.children, memory.joiners) == (1, 20, 300)
    assert memory.ring == MemorySettings().ring


def test_the_file_may_be_named_by_the_environment(written):
    """As in a container without arguments; a flag wins."""
    file = written("[agent]\nnode = 'by-file'\n")
    assert loaded(environment={"RECORDER_AGENT_CONFIG": str(file)}).agent.node == "by-file"
    other = file.with_name("other.toml")
    other.write_text("[agent]\nnode = 'by-flag'\n")
    assert loaded(file=other, environment={"RECORDER_AGENT_CONFIG": str(file)}).agent.node == "by-flag"


def test_every_setting_has_a_flag_and_a_variable(written):
    """The default, given by each, is taken and changes nothing."""
    for section, each in ALL:
        default = getattr(getattr(Settings(), section), each.name)
        if isinstance(default, bool):
            arguments, text = (
                [each.flag if default else each.flag.replace("--", "--no-", 1)],
                str(default).lower(),
            )
        elif isinstance(default, tuple):
            arguments = [part for value in default for part in (each.flag, value)]
            text = ",".join(default)
        else:
            text = "" if default is None else str(default)
            arguments = [each.flag, text]
        name = each.name if section == "agent" else f"{section}_{each.name}"
        assert loaded(*arguments) == Settings(), each
        assert loaded(environment={f"RECORDER_AGENT_{name.upper()}": text}) == Settings(), each


def test_flags_named_in_the_documentation_exist():
    """--socket and --keep-armed are of the command's interface."""
    settings = loaded("--socket", "/run/x.sock", "--keep-armed", "--node", "n1")
    assert (settings.listen.socket, settings.agent.keep_armed, settings.agent.node) == (
        Path("/run/x.sock"),
        True,
        "n1",
    )


def test_lists_by_each_source(written):
    """In TOML a list, in the environment commas, as flags repeated; an empty one is none."""
    assert loaded(file=written('[runtimes]\ncri = ["/a", "/b"]')).runtimes.cri == ("/a", "/b")
    assert loaded(environment={"RECORDER_AGENT_RUNTIMES_CRI": "/a, /b"}).runtimes.cri == ("/a", "/b")
    assert loaded("--runtimes-cri", "/a", "--runtimes-cri", "/b").runtimes.cri == ("/a", "/b")
    assert loaded(file=written("[runtimes]\ncri = []")).runtimes.cri == ()
    assert loaded(environment={"RECORDER_AGENT_RUNTIMES_CRI": ""}).runtimes.cri == ()
    assert loaded("--runtimes-cri", "").runtimes.cri == ()


def test_roles_by_each_source(written):
    """By name; one source replaces the entry of another, not the others."""
    file = written('[roles."a.b"]\ncapture = "*"\nstatus = true\n[roles."spiffe://x/y"]\nhost = true\n')
    settings = loaded(
        "--role",
        "a.b=capture:shop,capture:bank,plan",
        environment={"RECORDER_AGENT_ROLES": "c=capture d=status,host"},
        file=file,
    )
    assert settings.roles == {
        "a.b": RoleSettings(("shop", "bank"), plan=True),
        "spiffe://x/y": RoleSettings(host=True),
        "c": RoleSettings(("*",)),
        "d": RoleSettings(status=True, host=True),
    }


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("16MiB", 16 << 20), ("1.5 GiB", 3 << 29), ("0.5KiB", 512), ("7B", 7), (4096, 4096)],
)
def test_sizes(text, size):
    """Bytes, or with a unit of powers of 1024."""
    assert Size(0, 1 << 40).of_toml(text) == size


@pytest.mark.parametrize(
    "text", ["", "16MB", "16M", "-1", "1e6", "0.3B", "1.0001KiB", "MiB", True, 1.5, None, "\uff11KiB"]
)
def test_no_sizes(text):
    """Units of powers of 1000 look alike and are refused, as is what is no whole number of bytes."""
    with pytest.raises(ValueError, match="must be a size such as"):
        Size(0, 1 << 40).of_toml(text)


@given(st.integers(0, 1 << 50))
def test_a_size_as_text_is_the_same_size(size):
    """Nothing is rounded."""
    assert Size(0, 1 << 50).of_text(size_text(size)) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1d", 86400), ("7", 7), (2, 2)],
)
def test_durations(text, seconds):
    """Seconds, or with a unit."""
    assert Duration(0, 1e6).of_toml(text) == seconds


@pytest.mark.parametrize("text", ["", "30 sec", "-1s", "1h30m", "1S", "inf", "nan", True, None, float("nan")])
def test_no_durations(text):
    """One number, one unit."""
    with pytest.raises(ValueError, match="must be a duration such as"):
        Duration(0, 1e6).of_toml(text)


@given(st.integers(0, 10**9))
def test_a_duration_as_text_is_the_same_duration(milliseconds):
    """The example file loses nothing."""
    kind = Duration(0, 1e9)
    assert kind.of_toml(tomllib.loads(f"x = {kind.to_toml(milliseconds / 1000)}")["x"]) == milliseconds / 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[memory]\nslot = 5", r"memory\.slot is unknown: did you mean slots\?"),
        ("[memroy]\nslots = 5", r"no section \[memroy\]: did you mean memory\?"),
        ("[memory]\nslots = 0", r"memory\.slots is 0; it must be a whole number from 1 to 65,536"),
        ("[memory]\nslots = true", r"memory\.slots is True; it must be a whole number"),
        ('[memory]\nring = "3KiB"', r"memory\.ring is '3KiB'; it must be a size .* a power of 2"),
        ("[agent]\nkeep_armed = 1", r"agent\.keep_armed is 1; it must be true or false"),
        ('[agent]\npins = "bpf"', r"agent\.pins is 'bpf'; it must be an absolute path"),
        ('[listen]\naddress = "host"', r"listen\.address is 'host'; it must be HOST:PORT"),
        ('[listen]\naddress = "h:65536"', r"listen\.address is 'h:65536'; it must be HOST:PORT"),
        ('[runtimes]\ncri = "/a"', r"runtimes\.cri is '/a'; it must be a list"),
        ('[runtimes]\ncri = ["a"]', r"runtimes\.cri is \['a'\]; it must be \"auto\""),
        ("memory = 5", r"memory must be a table"),
        ("[memory\n", r"is not TOML: .*line 1"),
        ('[roles."x"]\ncaptures = ["a"]', r'roles\."x"\.captures is unknown: did you mean capture\?'),
        ('[roles."x"]\ncapture = true', r"must be a list of namespaces, or \"\*\" for all"),
        ('[roles."x"]\nhost = "yes"', r'roles\."x"\.host is \'yes\'; it must be true or false'),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_place(written, text, message):
    """The message has the file, the setting, what was given and what is right."""
    file = written(text)
    with pytest.raises(InvalidSettings, match=message) as refused:
        loaded(file=file)
    assert str(refused.value).startswith(str(file))


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    """A file that was named must be there; the default one need not."""
    with pytest.raises(InvalidSettings, match=r"cannot read the settings in .*nothing\.toml: No such file"):
        loaded(file=tmp_path / "nothing.toml")
    with pytest.raises(InvalidSettings, match="larger than 1 MiB"):
        loaded(file="/dev/zero")


def test_a_wrong_variable_is_refused_by_its_name():
    """With the nearest one, or what is right."""
    with pytest.raises(
        InvalidSettings, match=r"RECORDER_AGENT_MEMORY_SLOT is no setting: did you mean RECOR.*SLOTS"
    ):
        loaded(environment={"RECORDER_AGENT_MEMORY_SLOT": "5"})
    with pytest.raises(
        InvalidSettings, match=r"RECORDER_AGENT_KEEP_ARMED is 'yes'; it must be true or false"
    ):
        loaded(environment={"RECORDER_AGENT_KEEP_ARMED": "yes"})
    with pytest.raises(InvalidSettings, match=r"RECORDER_AGENT_ROLES is 'x=root': 'root' is no right"):
        loaded(environment={"RECORDER_AGENT_ROLES": "x=root"})


def test_variables_of_a_kubernetes_service_are_no_settings():
    """The kubelet sets them in the pods beside a Service that is called recorder-agent."""
    names = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS", "PORT", "PORT_9464_TCP"]
    names += ["PORT_9464_TCP_PROTO", "PORT_9464_TCP_PORT", "PORT_9464_TCP_ADDR"]
    assert (
        loaded(environment={f"RECORDER_AGENT_{name}": "tcp://10.0.0.1:9464" for name in names}) == Settings()
    )


def test_a_wrong_flag_is_refused_by_its_name():
    """As for files and variables."""
    with pytest.raises(InvalidSettings, match=r"--memory-ring is '1MB'; it must be a size"):
        loaded("--memory-ring", "1MB")
    with pytest.raises(InvalidSettings, match=r"--role is 'x'; it must be NAME=RIGHT"):
        loaded("--role", "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen-address", ":1"], "must be HOST:PORT"),
        (
            ["--listen-address", "[::]:1"],
            r"needs more files: set listen.certificate, listen.key, listen.client_ca too",
        ),
        (
            ["--web-metrics-address", "h:1", "--listen-key", "/k"],
            r"set listen.certificate, listen.client_ca too",
        ),
        (
            ["--collector-endpoint", "c:1", "--collector-ca", "/k"],
            r"set collector.certificate, collector.key too",
        ),
        (["--web-plain-metrics", "0.0.0.0:9464"], "metrics without TLS are for the loopback alone"),
        (["--web-plain-metrics", "example.org:9464"], "metrics without TLS are for the loopback alone"),
        (["--socket", ""], "nobody could reach this agent"),
        (["--memory-message", "4MiB", "--memory-queues", "2MiB"], "one message must fit into the queues"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(arguments, message):
    """With what is missing."""
    with pytest.raises(InvalidSettings, match=message):
        loaded(*arguments)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_addresses_of_the_loopback(address):
    """Plain metrics may be there."""
    assert loaded("--web-plain-metrics", address).web.plain_metrics == address


def test_a_collector_on_this_machine_needs_no_certificates():
    """unix:PATH, with the whole path."""
    assert loaded("--collector-endpoint", "unix:/run/c.sock").collector.endpoint == "unix:/run/c.sock"
    for wrong in ("unix:", "unix:c.sock", f"unix:/{'c' * 108}"):
        with pytest.raises(InvalidSettings, match="must be HOST:PORT"):
            loaded("--collector-endpoint", wrong)


def test_the_socket_is_not_needed_where_there_is_tls():
    """Only TCP, or only the collector."""
    files = ["--listen-certificate", "/c", "--listen-key", "/k", "--listen-client-ca", "/a"]
    assert loaded("--socket", "", "--listen-address", "[::]:1", *files).listen == ListenSettings(
        None, "[::]:1", Path("/c"), Path("/k"), Path("/a")
    )


texts = st.text(max_size=20) | st.from_regex(
    r"[0-9]{1,6}(KiB|MiB|s|ms)?|/[a-z]{1,5}|[a-z]+:[0-9]{1,5}|true|false"
)
toml_values = st.recursive(
    st.text(max_size=8) | st.integers() | st.floats() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def taken(read, value):
    """What a kind makes of it; None, after a look at the reason, if it is refused."""
    try:
        return read(value)
    except ValueError as error:
        refused = error
    assert str(refused).startswith("must be ")
    return None


@given(st.sampled_from([each.kind for _, each in ALL]), texts, toml_values)
def test_any_value_is_taken_or_refused_with_a_reason(kind, text, value):
    """No kind gives up in another way, and what is taken survives the way through a file."""
    for each in (taken(kind.of_text, text), taken(kind.of_toml, value)):
        if each is not None:
            assert kind.of_toml(tomllib.loads(f"x = {kind.to_toml(each)}")["x"]) == each


def toml(value):
    """A document's text; only for what the strategy below makes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{Text().to_toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return Text().to_toml(value) if isinstance(value, str) else str(value)


@given(
    st.dictionaries(st.sampled_from(["agent", "memory", "runtimes", "roles", "x"]), toml_values, max_size=3)
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_document_is_taken_or_refused(written, document):
    """Whatever a file holds, it is settings or an InvalidSettings that names the file."""
    file = written("\n".join(f"{key} = {toml(value)}" for key, value in document.items()))
    try:
        assert isinstance(loaded(file=file), Settings)
    except InvalidSettings as error:
        refused = str(error)
    else:
        return
    assert refused.startswith(str(file))
