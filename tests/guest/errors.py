"""What can go wrong with a guest.

GuestError
├── BuildError           an artefact could not be made
├── GuestLostError       qemu or the guest's kernel ended
├── GuestTimeoutError    no answer in time; the command, if it was one, has been killed
└── CommandError         a command ended with another status than 0, and `check` was asked for
"""


class GuestError(Exception):
    """Base of all; the text says what happened and shows the console's last lines."""


class BuildError(GuestError):
    """An artefact could not be made."""


class GuestLostError(GuestError):
    """Qemu or the guest's kernel ended."""


class GuestTimeoutError(GuestError):
    """No answer in time."""


class CommandError(GuestError):
    """A command's status was not 0."""
