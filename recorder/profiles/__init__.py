"""Profiles: what a record allows, in the formats that runtimes and clusters read.

Pure: values in, values and text out. Nothing here touches the kernel, a process
or a file; only `recorder.profiles.seccomp_yaml` imports a YAML library.
"""
