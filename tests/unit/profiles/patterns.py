"""What the rules' own patterns allow."""

from recorder.profiles.path_tree import Permission

LETTERS = {
    Permission.READ: "r",
    Permission.WRITE: "wa",
    Permission.APPEND: "a",
    Permission.LOCK: "k",
    Permission.MAP: "m",
    Permission.EXECUTE: "xm",
}


class Patterns:
    """Asks only the patterns whose first bytes a path has: so it is quick enough for a hundred thousand."""

    def __init__(self, rules):
        self._by_prefix = {}
        for rule in rules:
            self._by_prefix.setdefault(rule.glob.prefix, []).append(rule)
        self._sizes = sorted({len(prefix) for prefix in self._by_prefix})

    def allows(self, path):
        """The letters of what may be done with a path; who may write may append, and `ix` has `m`."""
        found = Permission(0)
        for size in self._sizes:
            for rule in self._by_prefix.get(path[:size], ()) if size <= len(path) else ():
                if rule.glob.matches(path):
                    found |= rule.permissions
        return frozenset("".join(letters for right, letters in LETTERS.items() if found & right))
