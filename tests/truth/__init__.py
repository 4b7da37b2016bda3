"""Independent truths that the recorder is compared with, and the means to make known calls.

`strace` and `audit` observe the same run by other means than the recorder does;
`programs` builds programs whose calls are known from their source; `oci` runs
real container runtimes. Nothing here imports the recorder's kernel side.
"""
