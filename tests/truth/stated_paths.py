"""Paths that a container used, and what docs/accesses.md says is allowed then.

Nothing here looks at a name to find out what it is: each part of a path is put together of pieces of which
it is known from the start what the page says of them, as a regular expression. Thresholds are counted by
the page's words, and a path may be used as some expression says that matches it.
"""

import random
import re
import string
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

ANY = rb"[^/\x00]+"  # `*` that is all of a part
SOME = rb"[^/\x00]*"
NUMBER = rb"[0-9]" + SOME
PID = rb"(?:[1-9][0-9]{0,5}|[1-4][0-9]{6})"
WORD = rb"[0-9A-Za-z_]"
HEX = rb"[0-9a-f]"
ONE = rb"[^/\x00]"
_SET = re.compile(rb"\[0-9[A-Za-z_-]*\]")
_KEPT = frozenset(bytes((each,)) for each in (string.ascii_letters + string.digits + "_./+@-").encode())
# "below | more than"
THRESHOLDS = {
    b"/": 10,
    b"/etc": 16,
    b"/home": 16,
    b"/root": 16,
    b"/usr": 16,
    b"/sys": 8,
    b"/tmp": 3,
    b"/var/tmp": 3,
    b"/dev": 0,
    b"/proc": 0,
}


@dataclass(frozen=True, slots=True)
class Part:
    """Of a path. says: the expression that the page's rules make of it; object: the one in an object."""

    text: bytes
    says: bytes
    object: bytes

    @property
    def plain(self) -> bool:
        return self.says == re.escape(self.text)

    def __add__(self, other: "Part") -> "Part":
        return Part(self.text + other.text, self.says + other.says, self.object + other.object)


def plain(text: bytes) -> Part:
    """A part, or a piece of one, that no rule names."""
    kept = (bytes((each,)) for each in text)
    return Part(text, re.escape(text), b"".join(re.escape(each) if each in _KEPT else ONE for each in kept))


def _piece(text: bytes, says: bytes) -> Part:
    """A piece that is never the same twice: in objects `?` stands for each set of characters."""
    return Part(text, says, says if says in (PID, SOME, ANY) else _SET.sub(lambda _: ONE, says))


@dataclass(frozen=True, slots=True)
class Used:
    """A path with what was done, as letters of AppArmor's. A folder's last part is empty."""

    parts: tuple[Part, ...]
    letters: frozenset[str]

    @property
    def path(self) -> bytes:
        return b"".join(b"/" + each.text for each in self.parts)


# --- pieces that are never the same twice ---


def _digits(chance: random.Random, alphabet: str, count: int) -> bytes:
    return "".join(chance.choice(alphabet) for _ in range(count)).encode()


def number(chance: random.Random) -> Part:
    return _piece(b"9" + _digits(chance, string.digits, chance.randint(5, 12)), NUMBER)


def identity(chance: random.Random) -> Part:
    text = str(uuid.UUID(int=chance.getrandbits(128))).encode()
    return _piece(text, b"-".join(HEX + b"{%d}" % len(each) for each in text.split(b"-")))


def digest(chance: random.Random) -> Part:
    """Of a length that no secret has, with a letter and a digit."""
    size = chance.choice((16, 17, 20, 31, 32, 40, 64))
    return _piece(b"a1" + _digits(chance, "0123456789abcdef", size - 2), HEX + b"{%d}" % size)


def secret(chance: random.Random) -> Part:
    return plain(b"token=") + _piece(_digits(chance, string.ascii_lowercase, 9), SOME)


def volume(chance: random.Random) -> Part:
    stamp = [b"20%02d" % chance.randint(0, 99), *(b"%02d" % chance.randint(1, 12) for _ in range(5))]
    says = re.escape(b"..") + b"_".join(rb"[0-9]{%d}" % len(each) for each in stamp) + rb"\." + NUMBER
    return _piece(b".." + b"_".join(stamp) + b".%d" % chance.randint(1, 10**9), says)


def temporary(chance: random.Random) -> Part:
    """As mktemp(1) and Python's tempfile name them."""
    if chance.random() < 0.5:
        random_part = b"aB3" + _digits(chance, string.ascii_letters + string.digits, 7)
        return plain(b"tmp.") + _piece(random_part, WORD + b"{10}")
    return plain(b"tmp") + _piece(b"a1b" + _digits(chance, string.ascii_lowercase, 5), WORD + b"{8}")


def pid(chance: random.Random) -> Part:
    return _piece(b"%d" % chance.choice((1, chance.randint(2, 99_999), 4_194_304)), PID)


def _numbered(value: int) -> Part:
    """A number that is replaced because of where it stands."""
    return _piece(b"%d" % value, NUMBER)


# Names that are patterns, rules or no text at all, for whoever reads a pattern or a profile's text
HOSTILE = (
    *(b"*", b"**", b"?", b"a*b", b"[0-9]", b"[^a]", b"{a,b}", b"@{HOME}", b"@{pid}", b"^x", b"$x", b"x,y"),
    *(b'"', b'" rwix,', b"#x", b"# x", b"a b", b" lead", b"trail ", b"\\", b"\\\\", b"\\*", b"\\012", b"a\\"),
    *(
        b"a\nb",
        b"\r",
        b"\t",
        b"\x01",
        b"\x1b[2J",
        b"\x7f",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"\xe2\x80\xae",
        b"\xc3",
    ),
    *(b"...", b"profile", b"deny", b"owner", b"include", b"}", b"} profile y {", b"->", b"ix,"),
    *(b"%2F", b"&", b"|", b"(a)", b"+", b"~", b"!", b"$(x)", b"`x`", b"'", b";", b"=", b"<x>", b"-", b"--x"),
)
WORDS = (b"conf.d", b"hosts", b"x.log", b"y.log", b"libx.so.1", b"Server12.sock", b"data", b"n7", b"a", b".b")


# --- what a container used ---

_READS = tuple(map(frozenset, ("r", "r", "rw", "w", "a", "rk", "rm")))


def _name(chance: random.Random, *, last: bool) -> Part:
    """A part of a path outside of the folders that have rules of their own."""
    sort = chance.random()
    if sort < 0.5:
        return plain(chance.choice(WORDS))
    if sort < 0.65:
        return plain(chance.choice(HOSTILE))
    if sort < 0.7:
        return volume(chance)
    if last and sort < 0.78:
        # its value goes on to the end; what is below of such a folder may be a secret, too
        return plain(chance.choice((b"", b"x-"))) + secret(chance)
    before, after = chance.choice(((b"", b""), (b"x-", b""), (b"app_", b".db"), (b"", b".json")))
    return plain(before) + chance.choice((number, identity, digest))(chance) + plain(after)


def used_paths(chance: random.Random, count: int) -> list[Used]:
    """`count` paths of all kinds, and folders that are fuller than their thresholds, and as full."""
    found: dict[bytes, Used] = {}

    def add(parts: Iterable[Part], letters: Iterable[str]) -> None:
        used = Used(tuple(parts), frozenset(letters))
        known = found.get(used.path)
        found[used.path] = Used(used.parts, _united(used.letters, known.letters)) if known else used

    for _ in range(count):
        depth = chance.randint(1, 4)
        names = (_name(chance, last=n == depth - 1) for n in range(depth))
        add((plain(chance.choice((b"var", b"lib", b"home"))), *names), chance.choice(_READS))
    for limit, top in ((10, b"srv"), (16, b"etc"), (8, b"sys")):
        for more, ending in ((0, b""), (1, b""), (1, b".log"), (2, b".sock"), (3, b".so.1")):
            folder = plain(b"%d%s" % (more, ending.replace(b".", b"-")))
            for n in range(limit + more):
                add((plain(top), folder, plain(b"name%d%s" % (n, ending))), "r")
            add((plain(top), folder, plain(b"")), "r")
            add((plain(top), folder, plain(b"own")), "rw")
        for n in range(limit + 2):
            add((plain(top), plain(b"many"), plain(b"sub%d" % n), plain(b"in%d" % (n % 3))), "rw")
        add((plain(top), plain(b"many"), plain(b"tool"), plain(b"run")), "rx")
    for n in range(20):
        add((plain(b"opt"), plain(b"bin"), plain(b"tool%d" % n)), "rx")
        add((plain(b"proc"), pid(chance), plain(chance.choice((b"stat", b"comm")))), "r")
        add((plain(b"proc"), pid(chance), plain(b"task"), pid(chance), plain(b"stat")), "r")
        add((plain(b"proc"), pid(chance), plain(b"fd"), _numbered(n)), "r")
        add((plain(b"dev"), plain(b"pts"), _numbered(n)), "rw")
        add((plain(b"dev"), plain(b"device%d" % n)), "rw")
        add((plain(b"tmp"), temporary(chance)), "rw")
        made = temporary(chance)
        add((plain(b"var"), plain(b"tmp"), made, plain(b"")), "w")
        add((plain(b"var"), plain(b"tmp"), made, plain(b"file")), "rw")
    # one pattern for what is written and what is appended to, and no process's number
    add((plain(b"srv"), plain(b"log-") + number(chance)), "a")
    add((plain(b"srv"), plain(b"log-") + number(chance)), "w")
    add((plain(b"proc"), _numbered(7_777_777), plain(b"stat")), "r")
    return list(found.values())


def _united(first: frozenset[str], second: frozenset[str]) -> frozenset[str]:
    """ "append, and nothing of the line above" """
    both = first | second
    return both - {"a"} if "w" in both else both


# --- what is allowed then ---


@dataclass(frozen=True, slots=True)
class Rule:
    """Expressions of whole paths, for the text and for an object, and letters that they allow."""

    says: bytes
    object: bytes
    letters: frozenset[str]


_Tail = tuple[tuple[Part, ...], Used]


def stated(used: Iterable[Used], limits: Mapping[bytes, int] = THRESHOLDS) -> list[Rule]:
    """What the page says of paths that were used: from the root on, folder by folder."""
    return list(_folder(plain(b""), b"/", [(each.parts, each) for each in used], limits))


def _limit(below: bytes, limits: Mapping[bytes, int]) -> int:
    """Of the longest prefix; "nor are the names of / itself"."""
    if below == b"/":
        return 0
    fits = [each for each in limits if each in (b"/", below) or below.startswith(each + b"/")]
    return limits[max(fits, key=len)] if fits else 0


_STAR = Part(b"*", ANY, ANY)
_SLASH = plain(b"/")


def _folder(above: Part, below: bytes, tails: list[_Tail], limits: Mapping[bytes, int]) -> Iterator[Rule]:
    """above: the pattern so far; below: the folder's name, as far as it has no pattern."""
    files: dict[bytes, tuple[Part, frozenset[str]]] = {}
    folders: dict[bytes, tuple[Part, list[_Tail]]] = {}
    for (name, *rest), each in tails:
        if rest:
            folders.setdefault(name.says, (name, []))[1].append((tuple(rest), each))
        else:
            letters = files[name.says][1] if name.says in files else frozenset[str]()
            files[name.says] = name, _united(letters, each.letters)
    limit = _limit(below, limits)
    without_program = [
        says for says, (_, inside) in folders.items() if not any("x" in each.letters for _, each in inside)
    ]
    if limit and len(without_program) > limit:
        together = [tail for says in without_program for tail in folders.pop(says)[1]]
        folders.setdefault(ANY, (_STAR, []))[1].extend(together)
    sorts: dict[frozenset[str], list[bytes]] = {}
    for says, (_, letters) in files.items():
        if says and "x" not in letters:
            sorts.setdefault(letters, []).append(says)
    for letters, names in sorts.items():
        if limit and len(names) > limit:
            pattern = _common([files.pop(says)[0] for says in names])
            known = files[pattern.says][1] if pattern.says in files else frozenset[str]()
            files[pattern.says] = pattern, _united(letters, known)
    for name, letters in files.values():
        whole = above + _SLASH + name
        yield Rule(whole.says, whole.object, letters)
    for name, inside in folders.values():
        own = name.text if name.plain else b"\0"  # where a pattern begins, no longer prefix is known
        yield from _folder(above + _SLASH + name, below.rstrip(b"/") + b"/" + own, inside, limits)


def _common(names: list[Part]) -> Part:
    """ "`*.EXTENSION` if all have it, `*.so*` for libraries, else `*`" """
    some = Part(b"*", SOME, SOME)
    if all(name.plain and re.search(rb"\.so(?:\.[0-9]+)*$", name.text) for name in names):
        return some + plain(b".so") + some
    ends = {name.text.rpartition(b".")[2] if name.plain and b"." in name.text[1:] else b"/" for name in names}
    return some + plain(b"." + min(ends)) if len(ends) == 1 and b"/" not in ends else _STAR


class Expressions:
    """What may be done with a path, by expressions and their letters."""

    def __init__(self, pairs: Iterable[tuple[bytes, Iterable[str]]]) -> None:
        by_letter: dict[str, set[bytes]] = {}
        for says, letters in pairs:
            for letter in letters:
                by_letter.setdefault(letter, set()).add(b"(?:" + says + b")")
        self._by_letter = {
            letter: re.compile(b"|".join(sorted(each)), re.DOTALL) for letter, each in by_letter.items()
        }

    def allows(self, path: bytes) -> frozenset[str]:
        """The letters, with those that others have: who may write may append, and `ix` has `m`."""
        found = {letter for letter, each in self._by_letter.items() if each.fullmatch(path)}
        return frozenset(found | ({"a"} if "w" in found else set()) | ({"m"} if "x" in found else set()))


def as_text(rules: Iterable[Rule]) -> Expressions:
    """By a profile's text."""
    return Expressions((each.says, each.letters) for each in rules)


def as_object(rules: Iterable[Rule], warnings: Iterable[str]) -> Expressions:
    """By an object, at most: a list's permissions come together, and `?` stands for many a byte.

    A pattern of which a warning says so may be read and written.
    """
    widened = {text for text, found, _ in (each.partition(_BOTH) for each in warnings) if found}
    pairs = []
    for each in rules:
        letters = set(each.letters)
        if letters & {"x", "m"}:
            letters.add("r")
        if letters & {"w", "a", "k"}:
            letters |= set("wlk")
        if _shown(each.says) in widened:
            letters |= set("rwlk")
        pairs.append((each.object, letters))
    return Expressions(pairs)


_BOTH = ": may be read and written"


def _shown(says: bytes) -> str:
    """A pattern as warnings have it."""
    for expression, wild in ((PID, b"@{pid}"), (ANY, b"*"), (SOME, b"*")):
        says = says.replace(expression, wild)
    says = re.sub(rb"(\[0-9[A-Za-z_-]*\])\{([0-9]+)\}", lambda each: each[1] * int(each[2]), says)
    plain_text = re.sub(rb"\\(.)", rb"\1", says, flags=re.DOTALL)
    return plain_text.decode("latin-1").encode("unicode_escape").decode()[:200]
