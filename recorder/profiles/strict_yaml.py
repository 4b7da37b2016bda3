"""YAML as people write it for Kubernetes: one document, plain values, no key twice."""

from __future__ import annotations

from typing import Any

import yaml

__all__ = ["NotYamlError", "load_yaml"]


class NotYamlError(ValueError):
    """The text is no YAML, has a key twice, or more than one document; the message is one line."""


def load_yaml(text: str) -> object:
    """Return the document's value: None for an empty one."""
    try:
        value: object = yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotYamlError(f"not YAML: {' '.join(str(error).split())}") from error
    return value


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML forbids and PyYAML takes."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value}: given twice in one object", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
