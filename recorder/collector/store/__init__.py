"""What the collector must not forget: sightings that no result holds yet, recordings, and its results."""

from recorder.collector.store.async_store import AsyncStore
from recorder.collector.store.bounds import StoreBounds, StoreFigures
from recorder.collector.store.sighting import Change, Confirmation, Decision, Incoming, Outline, Sighting
from recorder.collector.store.store import Store
from recorder.collector.store.stored import StoredRecording, StoredResult

__all__ = [
    "AsyncStore",
    "Change",
    "Confirmation",
    "Decision",
    "Incoming",
    "Outline",
    "Sighting",
    "Store",
    "StoreBounds",
    "StoreFigures",
    "StoredRecording",
    "StoredResult",
]
