"""Records with eBPF what a container really does, and writes the security profile it needs."""

__version__ = "0.1.0"
