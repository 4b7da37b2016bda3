"""SELinux profiles, from recording to enforcing, under a small policy of the tests' own."""
