"""The agent's key and request, with the openssl command as the judge."""

import subprocess

from recorder.agent.node_key import NodeKey


def said(folder, content, *arguments):
    path = folder / "it"
    path.write_bytes(content)
    found = subprocess.run(
        ["openssl", *arguments, "-in", path], check=True, capture_output=True, text=True, timeout=60
    )
    return found.stdout, found.stderr


def test_a_request_is_of_its_key(tmp_path):
    """Of the curve P-256, signed by its own key, and without any name."""
    made = NodeKey.made()
    text, verified = said(tmp_path, made.request, "req", "-noout", "-text", "-verify")
    assert "verify OK" in verified
    assert "prime256v1" in text
    assert "Subject: \n" in text
    of_request, _ = said(tmp_path, made.request, "req", "-noout", "-pubkey")
    of_key, _ = said(tmp_path, made.key, "pkey", "-pubout")
    assert of_request == of_key


def test_each_key_is_a_new_one():
    """Nothing is used twice, and a key is in no text of it."""
    first, second = NodeKey.made(), NodeKey.made()
    assert first.key != second.key
    assert "BEGIN" not in repr(first)
