"""Stock Debian kernels as guests under qemu without hardware virtualisation.

`python -m tests.guest build` makes what is missing in the cache; the fixture `guest` (conftest.py)
gives a test a running guest of a kernel and an LSM, restored from a snapshot. Layers, top to bottom:

    conftest, __main__   what people and tests call
    start                a running guest, restored or booted
    snapshot             a booted guest, saved once
    build                how kernels, disks and the agent are made; recipe.py says what needs what
    vm                   one running guest: commands in, output out
    qemu, channel, cache a process, a protocol, a folder of checked artefacts
"""
