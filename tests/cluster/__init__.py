"""A real Kubernetes API server, built from Debian's own source package, for the tests of what talks to one.

`python -m tests.cluster build` makes what is missing in the cache; the fixture `api_server` (conftest.py)
gives tests a running one. Layers, top to bottom:

    conftest, __main__   what people and tests call
    api_server           etcd, kube-apiserver and kube-controller-manager, which can fail on demand
    access, crds         people, service accounts and their rights; kinds
    node                 a kubelet, a runtime, Services and names for such a server: pods run
    client               plain requests: the independent truth of what the server holds
    build                how the programs are made; recipe.py says what needs what
    daemon               a process with a log
    place, address       where daemons listen: a loopback address that nobody else has, or a node's network

The cache of built programs is the guests' (tests/guest/cache.py).
"""
