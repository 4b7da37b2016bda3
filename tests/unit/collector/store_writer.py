"""A process that writes to a store until it is killed: `python -m tests.unit.collector.store_writer PATH`.

It goes on after what is there, puts batches of 5 of recording r1, confirms and emits, lets the store
fold, and says of each batch its last number once it is acknowledged.
"""

import sys
from pathlib import Path

from recorder.collector.store.sighting import Confirmation, Decision
from recorder.collector.store.store import Store
from tests.unit.collector.store_made import bounds, incoming, placed, recording

BATCH = 5
OPEN = 40


def main() -> None:
    store = Store.open(Path(sys.argv[1]), bounds(sightings=OPEN))
    store.save_recording(recording("r1"))
    for each in store.unconfirmed(OPEN):  # of who was killed before it had decided
        pod = each.observation.identity.pod.name.removeprefix("web-")
        store.decide([Decision(each.id, Confirmation.CONFIRMED, placed(pod))])
    number = sum(each.sources for each in store.sightings("r1"))
    print("open", flush=True)
    while True:
        changes = store.put([incoming(n, pod=f"p{n % 7}") for n in range(number, number + BATCH)])
        number += BATCH
        print(number, flush=True)
        store.decide(
            [
                Decision(each.sighting_id, Confirmation.CONFIRMED, placed(f"p{(number - BATCH + index) % 7}"))
                for index, each in enumerate(changes)
            ]
        )
        store.emitted("r1", store.revision)


if __name__ == "__main__":
    main()
