"""An independent reader of AppArmor's globs: to regular expressions, by hand.

The conversion is the one that `apparmor_parser -D rule-exprs` prints, which
test_apparmor_text.py compares.
"""

import re

PID = r"(?:[1-9][0-9]{0,5}|[1-4][0-9]{6})"


def regex_of(glob):
    """A compiled pattern of bytes for the text of a glob, without its quotes."""
    found, n = "", 0
    while n < len(glob):
        rest = glob[n:]
        alone = glob[n - 1 : n] == "/"
        if rest.startswith("**"):
            found += (r"[^/\x00]" if alone and rest[2:3] in ("", "/") else "") + r"[^\x00]*"
            n += 2
        elif rest[0] == "*":
            found += (r"[^/\x00]" if alone and rest[1:2] in ("", "/") else "") + r"[^/\x00]*"
            n += 1
        elif rest[0] == "?":
            found += r"[^/\x00]"
            n += 1
        elif rest[0] == "[":
            end = rest.index("]") + 1
            found += rest[:end]
            n += end
        elif rest.startswith("@{pid}"):
            found += PID
            n += len("@{pid}")
        elif re.match(r"\\[0-7]{3}", rest):
            found += re.escape(chr(int(rest[1:4], 8)))
            n += 4
        elif rest[0] == "\\":
            found += re.escape(rest[1])
            n += 2
        else:
            found += re.escape(rest[0])
            n += 1
    return re.compile(found.encode("latin-1"), re.DOTALL)
