"""Logs a line for each call of a use case at DEBUG: `function.log`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from enum import Enum
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from domain.audit import RequestContext
from ports.request_id import REQUEST_ID

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def traced(
    call: Callable[Arguments, Coroutine[Any, Any, Result]],
) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    """Logs the end of each call at DEBUG, by the logger of its module: its name, request and outcome.

    Logs no argument and no answer, which hold passwords, tokens and keys. Where DEBUG is off, a call costs
    one more frame.
    """
    log = logging.getLogger(call.__module__)
    name = call.__qualname__

    @wraps(call)
    async def logged(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if not log.isEnabledFor(logging.DEBUG):
            return await call(*args, **kwargs)
        outcome = "cancelled"
        try:
            result = await call(*args, **kwargs)
        except Exception as error:
            outcome = f"raised {type(error).__name__}"
            raise
        else:
            outcome = _outcome(result)
            return result
        finally:
            log.debug(name, extra={"outcome": outcome} | _request(*args, *kwargs.values()))

    return logged


def _outcome(result: object) -> str:
    """The type of an answer; the answer itself only for None, a boolean or an enum."""
    if result is None or isinstance(result, bool):
        return str(result)
    return str(result) if isinstance(result, Enum) else type(result).__name__


def _request(*values: object) -> dict[str, str]:
    """The id of the request among the arguments, else of the current one; empty outside of a request."""
    contexts = (value.request_id for value in values if isinstance(value, RequestContext))
    request_id = next(contexts, None) or REQUEST_ID.get()
    return {"request_id": request_id} if request_id else {}
