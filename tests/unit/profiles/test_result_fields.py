"""Names of a result's fields, as people read them and as they are read back."""

import pytest

from recorder.profiles.result_fields import name_of, path_of, value_at

NAMES = {
    ("spec", "syscalls"): "spec.syscalls",
    ("metadata", "labels", "app.kubernetes.io/name"): "metadata.labels[app.kubernetes.io/name]",
    ("metadata", "annotations", "a]b"): "metadata.annotations[a]b]",
}


@pytest.mark.parametrize(("path", "name"), NAMES.items())
def test_a_name_leads_back_to_its_path(path, name):
    """Whatever is in a key."""
    assert name_of(path) == name
    assert path_of(name) == path


@pytest.mark.parametrize("name", ["", "spec", "status.status", "metadata.name", "metadata.labels[app"])
def test_another_text_leads_nowhere(name):
    """Annotations that people changed are read as well."""
    assert path_of(name) == ()


@pytest.mark.parametrize("value", [{}, {"spec": None}, {"spec": "text"}, {"spec": ["syscalls"]}])
def test_a_field_that_is_not_there(value):
    """Whatever stands where its table should be."""
    assert value_at(value, ("spec", "syscalls")) is None
