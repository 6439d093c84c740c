"""What PyMongo thinks of an address before anything connects to it."""

from __future__ import annotations

import ssl
import warnings

from pymongo import MongoClient
from pymongo.errors import PyMongoError


def address_problem(url: str) -> str | None:
    """Why no client can be made for this URL, or would be made with less than it asks for; None when it is
    good.

    Opens no connection and asks no name server. Files of TLS that it names are read.
    """
    try:
        with warnings.catch_warnings():
            # An option that PyMongo does not know, or whose value it does not, is dropped with a warning: of
            # `tls`, that would be a connection without.
            warnings.simplefilter("error")
            MongoClient(url, connect=False).close()
    except ssl.SSLError as error:
        return f"a file of TLS is not good: {error.reason}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except (PyMongoError, ValueError, UserWarning) as error:
        return str(error)
    return None
