"""The bcc loader where the tests run, with whatever headers are there: beside libbpf, and by itself."""
