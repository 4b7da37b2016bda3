"""What looks like a secret in a name, and what does not."""

import base64
import hashlib
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.model.secret import PLACEHOLDER, generalised

HEX = hashlib.sha256(b"something").hexdigest()
ID = str(uuid.uuid5(uuid.NAMESPACE_DNS, "a pod"))
BASE64 = "9aP2xQ7LmZ0vR4tKc8WdY1sH6bNgJ3eU"
WEB = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
"""Of RFC 7519's alphabet; signed with nobody's key."""

SECRETS = {
    "a web token": (f"/var/cache/app/{WEB}", "/var/cache/app/{secret}"),
    "one with a suffix": (f"/tmp/{WEB}.json", "/tmp/{secret}.json"),
    "one whose end is cut off": (f"/tmp/{WEB[:50]}", "/tmp/{secret}"),
    "key=value": ("/tmp/token=abc/x", "/tmp/token={secret}/x"),
    "one of several": ("/tmp/a=1&password=p&b=2", "/tmp/a=1&password={secret}&b=2"),
    "a value with separators": ("/tmp/password=p&;,q", "/tmp/password={secret}"),
    "in capitals": ("/run/DB_PASSWORD=hunter2", "/run/DB_PASSWORD={secret}"),
    "with a colon": ("/run/api-key: 123", "/run/api-key: {secret}"),
    "quoted": ("/run/'secret'='it'", "/run/'secret'='{secret}'"),
    "percent-encoded": ("/q/access_token%3Dabc", "/q/access_token%3D{secret}"),
    "a vague word": ("/q/key=12345678", "/q/key={secret}"),
    "base64": (f"/tmp/{BASE64}", "/tmp/{secret}"),
    "base64 in a name": (f"/tmp/session-{BASE64}.sock", "/tmp/session-{secret}.sock"),
    "base64 of 32 bytes": (
        "/tmp/6CPgvV0QkXhbYxJg8vZ4mC0yTnqvqXc3R0S9m2W7eEo=",
        "/tmp/{secret}",
    ),
    "base64 for URLs": ("/tmp/gQ7-xPz2_Lr9WvBn4YtKc8dH1sMjR6uE", "/tmp/{secret}"),
    "GitHub's": ("/src/ghp_abcdefghijklmnopqrstuvwxyz0123456789", "/src/{secret}"),
    "AWS's": ("/home/me/.cache/AKIAIOSFODNN7EXAMPLE", "/home/me/.cache/{secret}"),
    "a URL's password": ("/cache/https:/me:hunter2@example.org/x", "/cache/https:/me:{secret}@example.org/x"),
    "a URL with both slashes": ("/c/https://me:hunter2@example.org", "/c/https://me:{secret}@example.org"),
    "hexadecimal digits of no digest": ("/tmp/" + HEX[:36], "/tmp/{secret}"),
    "a digest's length behind a word": (f"/tmp/session-token-{HEX}", "/tmp/session-token-{secret}"),
    "a digest's length in a folder": (f"/var/tokens/{HEX}", "/var/tokens/{secret}"),
    "in a name that is no path": ("password=x y", "password={secret}"),
}
NONE = {
    "nothing": "",
    "a plain path": "/usr/lib/x86_64-linux-gnu/libQt5WebEngineWidgetsPrivate.so.5.15.2",
    "a container's id": f"/var/lib/docker/containers/{HEX}/{HEX}-json.log",
    "an image's layer": f"/var/lib/docker/overlay2/{HEX}/diff/etc/passwd",
    "a scope": f"/sys/fs/cgroup/system.slice/cri-containerd-{HEX}.scope",
    "a pod's folder": f"/var/lib/kubelet/pods/{ID}/volumes/kubernetes.io~projected/kube-api-access-7xk2p",
    "a service account": "/run/secrets/kubernetes.io/serviceaccount/..2026_01_02_03_04_05.1234567890/token",
    "a secret's mount": "/run/secrets/db_password",
    "a uuid": f"/dev/disk/by-uuid/{ID}",
    "a uuid without hyphens": f"/var/log/journal/{ID.replace('-', '')}/system.journal",
    "a store": "/nix/store/0c7c96gikmzv87i7lv3vq5s1cmfjd6zf-python3-3.12.4-env/lib/python3.12/token.py",
    "a blob": f"/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256/{HEX}",
    "an object of Git": f"/src/.git/objects/{HEX[:2]}/{HEX[2:40]}",
    "a shader": f"/home/me/.cache/mesa_shader_cache/{HEX[:2]}/{HEX[2:40]}",
    "npm's cache": f"/root/.npm/_cacache/content-v2/sha512/{HEX[:2]}/{HEX[2:4]}/{(HEX + HEX)[4:]}",
    "a version": "/go/pkg/mod/github.com/!burnt!sushi/toml@v1.2.3-0.20260102150405-0123456789ab/token.go",
    "a peer's version": "/app/node_modules/.pnpm/@babel+plugin-transform-runtime@7.23.0_@babel+core@7.23.0",
    "words in capitals": "/opt/MyCompany2026EnterpriseEditionServicePack3/bin",
    "camel case": "/src/getUserById2FromDatabaseConnectionPoolV3.java",
    "a CVE": "/src/CVE-2021-44228-Log4j-v2-Fix-A1B2-Again-7",
    "systemd's own": f"/tmp/systemd-private-{HEX[:32]}-systemd-resolved.service-Ab3dEf/tmp",
    "zeros": "/dev/" + "0" * 36,
    "a password's file": "/etc/passwd",
    "a key's file": "/etc/ssl/private/key=a",
    "an image with a digest": f"/c/nginx:1.27@sha256:{HEX}",
    "a socket": "/run/user/1000/keyring/ssh",
    "an inode": "anon_inode:[eventpoll]",
    "short": "/a=1",
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_replaced(case):
    """By the placeholder, and counted."""
    path, expected = SECRETS[case]
    found = generalised(path.encode())
    assert (found.text.decode(), found.count) == (expected, 1)


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_secret_stays(case):
    """Ids, digests, versions, words."""
    path = NONE[case].encode()
    found = generalised(path)
    assert (found.text, found.count) == (path, 0)


def test_each_secret_counts():
    """Also several of one component."""
    found = generalised(f"/token=a&secret=b/{BASE64}".encode())
    assert (found.text, found.count) == (b"/token={secret}&secret={secret}/{secret}", 3)


def test_the_placeholder_is_no_secret():
    """What was replaced elsewhere counts there."""
    assert generalised(b"/token={secret}/{secret}").count == 0


@given(st.binary(max_size=300).filter(lambda name: b"\0" not in name))
def test_any_bytes_may_be_a_name(name):
    """Nothing raises, no slash comes or goes, and what has no secret is as it was."""
    found = generalised(name)
    assert found.text.count(b"/") == name.count(b"/")
    assert found.text.count(PLACEHOLDER) == name.count(PLACEHOLDER) + found.count
    assert found.count or found.text == name


@given(st.binary(min_size=48, max_size=48))
def test_bytes_around_a_secret_stay(key):
    """Of any value."""
    value = base64.b64encode(key).replace(b"/", b"_")
    found = generalised(b"/\xff\n" + b"token=" + value + b"/\x1b[2J")
    assert found.text == b"/\xff\ntoken={secret}/\x1b[2J"


@pytest.mark.parametrize(
    "name",
    [b"token=" + b"&a.-" * 1000, b"aA0" * 1365, b"/" * 4096, b"eyJ" * 1365, b"token=" * 682, b"0a" * 2048],
    ids=["pairs", "base64", "slashes", "web tokens", "words", "digits"],
)
def test_no_name_takes_long(name):
    """Of 4,096 bytes, made to take as long as possible: some milliseconds of CPU."""
    began = time.process_time()
    generalised(name)
    assert time.process_time() - began < 0.5
