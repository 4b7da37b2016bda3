"""SELinux's Common Intermediate Language: rules as secilc and semodule take them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from recorder.profiles.apparmor_text import EMPTY, comments
from recorder.profiles.selinux_rules import SELF, SelinuxRules

__all__ = ["block_name", "to_cil"]

_NO_SYMBOL: Final = re.compile(r"[^A-Za-z0-9_]")


def to_cil(
    rules: SelinuxRules, name: str, *, about: Mapping[str, str] = EMPTY, inherit: str = "container"
) -> str:
    """Return the text, ASCII: the same rules give the same bytes.

    The type of the process is `NAME.process`, with `_` for what is no letter or digit in the name;
    `p_NAME.process` for one that begins with a digit, or is the block that is inherited.
    about: how it came to be, as comments. inherit: a block that it begins with, which defines `process`;
    empty: none, and it is defined here.
    """
    lines = [f"; {each[2:]}" for each in comments(about)]
    block = block_name(name)
    lines += [f"(block {f'p_{block}' if block == inherit else block}"]
    if inherit:
        lines.append(f"  (blockinherit {inherit})")
    else:
        lines += ["  (type process)", "  (roletype system_r process)"]
    lines += [f"  {each}" for each in _rules(rules)]
    lines.append(")")
    lines += [f"; not in here: {each}" for each in rules.left_out]
    return "\n".join(lines) + "\n"


def block_name(name: str) -> str:
    """Return a name that CIL takes for a block: a letter first."""
    symbol = _NO_SYMBOL.sub("_", name)
    return symbol if symbol[:1].isalpha() else f"p_{symbol}"


def _rules(rules: SelinuxRules) -> Iterator[str]:
    for key, names in rules.installable.items():
        yield _rule(*key, names)
    if rules.refused:
        yield "; what no installer of SelinuxProfile objects takes: look at each"
        for key, names in rules.refused.items():
            yield _rule(*key, names)


def _rule(target: str, object_class: str, names: tuple[str, ...]) -> str:
    return f"(allow process {'process' if target == SELF else target} ({object_class} ({' '.join(names)})))"
