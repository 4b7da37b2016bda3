"""The collector's certificate and CA over time: always in date, and signed by whom agents trust."""

import asyncio

import pytest

from recorder.collector.figures import ServiceFigures
from recorder.collector.identity import CollectorIdentity, Lives
from recorder.identity.authority import Authority, Certificate
from recorder.identity.authority_folder import AuthorityFolder, Mounted
from recorder.model.errors import PlatformUnreachable

START = 1_800_000_000.0
HOUR, DAY = 3600.0, 86_400.0
LIVES = Lives(certificate=DAY, authority=30 * DAY)


class World:
    """A collector's identity whose clock a test moves; `published` is what agents could learn."""

    def __init__(self, folder, mounted=None, names=("c.example",)):
        self.now = START
        self.folder, self.mounted, self.names = folder / "identity", mounted, names
        self.published = []
        self.away = False
        self.figures = ServiceFigures()
        self.start()

    def start(self):
        folder = AuthorityFolder.open(self.folder, self.now, life=LIVES.authority, mounted=self.mounted)
        self.identity = CollectorIdentity(
            folder, self.names, LIVES, self, self.figures, clock=lambda: self.now, sleep=self.sleep
        )
        self.identity.begin()

    async def publish(self, certificates):
        if self.away:
            raise PlatformUnreachable("away")
        self.published.append((self.now, certificates.encode()))
        return True

    async def sleep(self, seconds):
        raise EOFError

    def look(self, now):
        """One round, at that time."""
        self.now = now
        with pytest.raises(EOFError):
            asyncio.run(self.identity.run())

    @property
    def server(self):
        return Certificate.parse((self.folder / "server.pem").read_bytes(), "server.pem")

    @property
    def authority(self):
        return Certificate.parse((self.folder / "ca.crt").read_bytes(), "ca.crt")

    @property
    def trusted(self):
        """CAs that agents know that have looked an hour after they were published."""
        last = [content for when, content in self.published if when <= self.now - HOUR]
        return last[-1] if last else b""


def test_the_collectors_own_certificate_is_renewed(tmp_path):
    """At half its time, and by the next start only if it is out of date or for other names."""
    world = World(tmp_path)
    first = world.server
    assert first.names == ("c.example",)
    assert (world.folder / "server.pem").stat().st_mode & 0o777 == 0o600
    world.look(START + 11 * HOUR)
    assert world.server == first
    world.start()
    assert world.server == first
    world.look(START + 13 * HOUR)
    second = world.server
    assert second != first
    assert world.figures.server_ends == second.ends
    world.names = ("d.example",)
    world.start()
    assert world.server.names == ("d.example",)
    (world.folder / "server.pem").write_text("noise")
    world.start()
    assert world.server.names == ("d.example",)
    world.now += 3 * DAY
    world.start()
    assert world.server.ends > world.now


def test_half_a_year_without_an_interruption(tmp_path):
    """Over many CAs the collector's certificate is always one that agents can verify, and in date."""
    world = World(tmp_path)
    authorities = set()
    world.look(START)
    for hour in range(2, 180 * 24, 3):
        world.look(START + hour * HOUR)
        authorities.add(world.authority.pem)
        server = world.server
        assert server.begins < world.now < server.ends - HOUR
        known = [each for each in world.identity._folder.trusted if each.pem in world.trusted]
        assert any(server.is_signed_by(each) for each in known), hour
    assert len(authorities) > 8
    assert len(world.identity._folder.trusted) <= 4
    assert world.figures.identity_problem == ""


def test_a_mounted_ca_that_is_renewed(tmp_path):
    """The collector shows its old certificate until agents know the new CA, which signs theirs at once."""
    old, new = Authority.made(START, 90 * DAY), Authority.made(START, 90 * DAY)
    where = Mounted(tmp_path / "tls.crt", tmp_path / "tls.key")
    where.certificate.write_bytes(old.own.pem)
    where.key.write_bytes(old.pem)
    world = World(tmp_path, where)
    world.look(START)
    first = world.server
    where.certificate.write_bytes(new.own.pem)
    world.look(START + 12 * HOUR + 60)  # in the middle of a renewal, when it would be due
    assert "tls.crt" in world.figures.identity_problem
    assert world.server == first
    where.key.write_bytes(new.pem)
    world.look(START + 12 * HOUR + 90)
    assert world.figures.identity_problem == ""
    assert world.server == first
    assert {each for _, each in world.published[-1:]} == {new.own.pem + old.own.pem}
    world.look(START + 14 * HOUR)
    assert world.server.is_signed_by(new.own)


def test_publishing(tmp_path):
    """Again when it has changed, each few minutes, and until it has worked."""
    world = World(tmp_path)
    world.away = True
    world.look(START)
    world.away = False
    world.look(START + 30)
    world.look(START + 60)
    assert [when - START for when, _ in world.published] == [30]
    world.look(START + 400)
    assert [when - START for when, _ in world.published] == [30, 400]
    assert world.published[0][1] == world.authority.pem
    assert b"PRIVATE" not in world.published[0][1]
