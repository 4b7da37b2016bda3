"""The folder of a CA: what is in it, who may read it, and what a new CA changes."""

import os
import stat

import pytest

from recorder.identity.authority import Authority, Purpose, new_key
from recorder.identity.authority_folder import AuthorityFolder, Mounted, certificates_of, write_whole
from recorder.model.errors import InvalidCertificate, StorageError

NOW = 1_800_000_000.0
LIFE = 1000.0


def opened(path, now=NOW, **more):
    return AuthorityFolder.open(path / "identity", now, life=LIFE, **more)


def mounted(path, authority):
    """A CA as cert-manager's Secret shows it."""
    path.mkdir(exist_ok=True)
    (path / "tls.crt").write_bytes(authority.own.pem)
    (path / "tls.key").write_bytes(authority.pem)
    return Mounted(path / "tls.crt", path / "tls.key")


def test_it_is_made_once(tmp_path):
    """The key is for its owner alone, whatever the umask; a second start has the same CA."""
    before = os.umask(0)
    try:
        first = opened(tmp_path)
    finally:
        os.umask(before)
    folder = tmp_path / "identity"
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
    assert modes == {"ca.pem": 0o600, "ca.crt": 0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    second = opened(tmp_path, NOW + 10)
    assert second.authority.own == first.authority.own
    assert second.bundle == first.authority.own.pem == (folder / "ca.crt").read_bytes()
    assert b"PRIVATE" not in second.bundle


def test_a_new_ca_leaves_the_one_before_trusted_until_it_ends(tmp_path):
    """What the old one signed goes on to count; after its end it is dropped."""
    folder = opened(tmp_path)
    old = folder.authority
    leaf = old.sign(new_key().public_key(), ["a.example"], Purpose.CLIENT, NOW, 900)
    folder.rotate(NOW + 100, LIFE)
    assert folder.authority.own != old.own
    assert [each == old.own for each in folder.trusted] == [False, True]
    assert any(leaf.is_signed_by(each) for each in folder.trusted)
    again = opened(tmp_path, NOW + 200)
    assert again.trusted == folder.trusted
    assert again.authority.own == folder.authority.own
    assert again.look(NOW + LIFE + 1)
    assert again.trusted == (folder.authority.own,)
    assert certificates_of((tmp_path / "identity/ca.crt").read_bytes(), "it") == again.trusted


def test_an_interrupted_rotation(tmp_path):
    """A crash after the new CA is trusted and before its key is there: the old one goes on to sign."""
    folder = opened(tmp_path)
    key = (tmp_path / "identity/ca.pem").read_bytes()
    old = folder.authority.own
    folder.rotate(NOW, LIFE)
    write_whole(tmp_path / "identity/ca.pem", key, 0o600)
    again = opened(tmp_path)
    assert again.authority.own == old
    assert again.trusted[0] == old


def test_a_mounted_ca(tmp_path):
    """Nothing is made, and its key is not copied; when it is renewed both are trusted."""
    first, second = Authority.made(NOW, LIFE), Authority.made(NOW + 10, LIFE)
    where = mounted(tmp_path / "secret", first)
    folder = opened(tmp_path, mounted=where)
    assert {each.name for each in (tmp_path / "identity").iterdir()} == {"ca.crt"}
    assert not folder.look(NOW + 5)
    mounted(tmp_path / "secret", second)
    assert folder.look(NOW + 20)
    assert folder.authority.own == second.own
    assert folder.trusted == (second.own, first.own)
    with pytest.raises(InvalidCertificate):
        folder.rotate(NOW, LIFE)


def test_a_mounted_ca_in_the_middle_of_a_renewal(tmp_path):
    """A key that is not the certificate's is refused, and the one before stays in use."""
    first, second = Authority.made(NOW, LIFE), Authority.made(NOW, LIFE)
    folder = opened(tmp_path, mounted=mounted(tmp_path / "secret", first))
    (tmp_path / "secret/tls.crt").write_bytes(second.own.pem)
    with pytest.raises(InvalidCertificate):
        folder.look(NOW)
    assert folder.authority.own == first.own
    assert folder.trusted == (first.own,)
    (tmp_path / "secret/tls.key").unlink()
    with pytest.raises(StorageError):
        folder.look(NOW)


def test_a_lost_key(tmp_path):
    """A new CA is made, and those that trust the old one are still told of it."""
    folder = opened(tmp_path)
    old = folder.authority.own
    (tmp_path / "identity/ca.pem").unlink()
    again = opened(tmp_path, NOW + 1)
    assert again.authority.own != old
    assert again.trusted == (again.authority.own, old)


def test_a_damaged_key(tmp_path):
    """It is refused by name, and left as it is."""
    opened(tmp_path)
    (tmp_path / "identity/ca.pem").write_bytes(b"noise")
    with pytest.raises(InvalidCertificate, match=r"ca\.pem"):
        opened(tmp_path)
    assert (tmp_path / "identity/ca.pem").read_bytes() == b"noise"


def test_a_file_is_replaced_as_a_whole(tmp_path):
    """Also one that somebody else put a link in the place of; and nothing is left beside it."""
    aim = tmp_path / "aim"
    aim.write_text("theirs")
    (tmp_path / "f").symlink_to(aim)
    write_whole(tmp_path / "f", b"ours", 0o600)
    assert aim.read_text() == "theirs"
    assert (tmp_path / "f").read_bytes() == b"ours"
    assert {each.name for each in tmp_path.iterdir()} == {"aim", "f"}
    with pytest.raises(StorageError):
        write_whole(tmp_path / "no/such", b"", 0o600)
