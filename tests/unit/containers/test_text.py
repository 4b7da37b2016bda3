"""Bounds of texts: long names and many labels are cut, at whole characters, and counted."""

from hypothesis import given
from hypothesis import strategies as st

from recorder.containers.container import Container, Manager
from recorder.containers.text import MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS, MAX_TEXT, TextBounds
from recorder.model.record import Pod


def test_what_has_room_is_untouched():
    """The same object: nothing is copied."""
    bounds = TextBounds()
    labels = {"app": "web", "k" * MAX_LABEL_KEY: "v" * MAX_LABEL_VALUE}
    assert bounds.text("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert bounds.labels(labels) is labels
    assert (bounds.cut, bounds.labels_left_out) == (0, 0)


def test_too_long_ones_are_cut_and_counted():
    """Each by its own bound."""
    bounds = TextBounds()
    assert bounds.text("x" * (MAX_TEXT + 1)) == "x" * MAX_TEXT
    assert bounds.labels({"k" * 400: "v" * 64}) == {"k" * MAX_LABEL_KEY: "v" * MAX_LABEL_VALUE}
    assert bounds.cut == 3


def test_labels_beyond_the_number_are_left_out():
    """The first ones in order stay, so the same labels always give the same ones."""
    bounds = TextBounds()
    labels = {f"k{number:03}": "v" for number in reversed(range(MAX_LABELS + 5))}
    assert bounds.labels(labels) == {f"k{number:03}": "v" for number in range(MAX_LABELS)}
    assert bounds.labels_left_out == 5


@given(st.text(max_size=200), st.integers(1, 200))
def test_a_cut_is_at_a_whole_character(text, limit):
    """Never longer than the bound, and always the text's own beginning."""
    bounds = TextBounds()
    cut = bounds.text(text, limit)
    escaped = text.encode("utf-8", "backslashreplace")
    assert len(cut.encode("utf-8", "backslashreplace")) <= limit
    assert cut == text or escaped.decode().startswith(cut)
    assert bounds.cut == (len(escaped) > limit)


def test_every_text_of_a_container_is_bounded():
    """What is left of the largest possible one has a size known in advance."""
    long = "é" * 5000
    texts = ("cgroup_path", "image", "image_digest", "runtime", "runtime_version", "runtime_handler")
    container = Container(
        "0" * 64,
        long,
        Manager.CRI,
        pod=Pod(long, long, long),
        labels={f"{number}{long}": long for number in range(200)},
        not_recordable=long,
        **dict.fromkeys(texts, long),
    )
    bounded = TextBounds().container(container)
    size = len(repr(bounded).encode())
    assert size < 12 * MAX_TEXT + MAX_LABELS * (MAX_LABEL_KEY + MAX_LABEL_VALUE + 10) + 2000
    assert len(bounded.pod.name.encode()) == MAX_TEXT
