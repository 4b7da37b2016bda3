"""The connection to an API server, and what its failures mean here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.models.meta_v1 import Status

from recorder.model.errors import InvalidSettings, PlatformUnreachable
from recorder.profiles.result_marks import OWNER

__all__ = ["FIELD_MANAGER", "asking", "connect", "status_code"]

FIELD_MANAGER = OWNER
"""Who owns what we apply (metadata.managedFields)."""

# it says every request
logging.getLogger("httpx2").setLevel(logging.WARNING)

_SECONDS = 15.0
_NOT_FOUND, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER = 404, 401, 403, 429, 500


def connect(kubeconfig: Path | None = None) -> AsyncClient:
    """A client: by a kubeconfig file, else by the pod's service account, $KUBECONFIG or ~/.kube/config.

    Raises InvalidSettings.
    """
    try:
        config = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
        return AsyncClient(config=config, timeout=httpx2.Timeout(_SECONDS), trust_env=False)
    except (ConfigError, OSError, KeyError, TypeError, ValueError, AssertionError) as error:
        where = kubeconfig or "the pod's service account, $KUBECONFIG or ~/.kube/config"
        raise InvalidSettings(
            f"cannot connect to Kubernetes by {where}: {error}; give a kubeconfig file with --kubeconfig"
        ) from error


def status_code(error: httpx2.HTTPError) -> int:
    """The HTTP status of a failure; 0 if there was no answer."""
    if isinstance(error, ApiError) and error.status is not None and error.status.code:
        return int(error.status.code)
    return error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0


@contextlib.contextmanager
def asking(what: str) -> Iterator[None]:
    """Around a request: what is no answer to it is raised as PlatformUnreachable.

    That is no connection, an overloaded or failing server, and a lack of rights or of the
    kind itself (404 for it is told apart by the caller, who knows whether an object may be
    missing). Other refusals stay ApiError.
    """
    try:
        yield
    except ApiError as error:
        code = status_code(error)
        if code in (_UNAUTHORIZED, _FORBIDDEN) and not denied_by_webhook(error):
            raise PlatformUnreachable(
                f"{what}: {error} (docs/kubernetes.md has the rights it needs)"
            ) from error
        if code == _TOO_MANY or code >= _SERVER:
            raise PlatformUnreachable(f"{what}: the API server answers {code}: {error}") from error
        raise
    except httpx2.HTTPStatusError as error:  # an answer that is no Status
        if is_missing(error):  # a path that the API server does not serve is answered with plain text
            status = Status(code=_NOT_FOUND, message="the kind is not installed, or not in this version")
            raise ApiError(request=error.request, status=status) from error
        raise PlatformUnreachable(f"{what}: HTTP status {status_code(error)}") from error
    except (httpx2.HTTPError, OSError) as error:
        raise PlatformUnreachable(f"{what}: {error or type(error).__name__}") from error
    except ConfigError as error:  # the token's file is gone just now
        raise PlatformUnreachable(f"{what}: {error}") from error


def denied_by_webhook(error: ApiError) -> bool:
    """Whether an admission webhook said no (apiserver, webhook/errors: "denied the request")."""
    return "denied the request" in str(error)


def is_missing(error: Any) -> bool:
    """Whether it says that an object, or its kind, is not there."""
    return isinstance(error, httpx2.HTTPError) and status_code(error) == _NOT_FOUND
