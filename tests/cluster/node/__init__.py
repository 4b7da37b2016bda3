"""A node for the API server of the tests: a kubelet, a runtime, Services and names, in namespaces of its own.

cluster      all of it: what tests ask for
ground       the node's network, mounts and cgroup, and their end, however the tests end
runtime      containerd with runc and crun, and images without a registry
kubelet      the kubelet, kube-scheduler and kube-proxy
names        cluster DNS: dnsmasq, fed from Services and Endpoints
pods         what tests write, and what they ask of a pod
"""
