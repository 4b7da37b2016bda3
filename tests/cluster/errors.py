"""What can go wrong with a cluster of the tests.

ClusterError
├── DaemonError      a daemon ended, or is not ready in time; the text has the end of its log
└── AnswerError      the API server refused a request; `status` is HTTP's, `reason` Kubernetes' word

What cannot be built is tests.guest.errors.BuildError, as for the guests.
"""


class ClusterError(Exception):
    """Base of all."""


class DaemonError(ClusterError):
    """A daemon ended, or is not ready in time."""


class AnswerError(ClusterError):
    """The API server answered with another status than 2xx."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        super().__init__(f"{status} {reason}: {message}")
