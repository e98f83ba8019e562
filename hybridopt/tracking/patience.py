"""A server that fails some of what it is asked is asked again."""

from __future__ import annotations

import http.client
import inspect
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between two questions to a server that fails
FAILED = (429, 500, 502, 503, 504)  # what a server says that may say otherwise the next time
CUT = (ConnectionResetError, BrokenPipeError, http.client.HTTPException)  # it answers, but not to the end


def patient(client: MlflowClient) -> MlflowClient:
    """A client that asks a server again, for some seconds, where it fails to answer or has no time."""
    return cast("MlflowClient", _Patient(client)) if client.tracking_uri.startswith("http") else client


class _Patient:
    """Hands on what it is asked; a call that the server fails is repeated.

    Args:
        client: MLflow's.
    """

    def __init__(self, client: MlflowClient):
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return partial(_repeated, found) if inspect.ismethod(found) else found


def _repeated(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    from mlflow.exceptions import MlflowException

    for pause in PAUSES:
        try:
            return call(*args, **kwargs)
        except MlflowException as error:
            if error.get_http_status_code() not in FAILED:
                raise
            time.sleep(pause)
    return call(*args, **kwargs)
