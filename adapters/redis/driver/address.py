"""How the address of a Redis, or of a cluster, is written."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from adapters.redis.driver.connection_options import PORT, connection_options

if TYPE_CHECKING:
    from adapters.redis.driver.cluster import Address

_CLUSTER = "+cluster"
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """`redis+cluster://user@host:port,host:port` or `rediss+cluster://…`: some of its nodes."""

    scheme: str
    user: str
    seeds: tuple[Address, ...]
    options: str

    def url_at(self, address: Address) -> str:
        """For one node."""
        host, port = address
        return f"{self.scheme}://{self.user}{f'[{host}]' if ':' in host else host}:{port}{self.options}"


def cluster_address(url: str) -> ClusterAddress | None:
    """None for the URL of one server. Raises ValueError for a node that is no `host:port`."""
    scheme, _, rest = url.partition("://")
    if not scheme.endswith(_CLUSTER):
        return None
    user, at, others = rest.rpartition("@")
    hosts = others.partition("/")[0].partition("?")[0]
    seeds = tuple(_node(host) for host in hosts.split(",") if host)
    return ClusterAddress(scheme.removesuffix(_CLUSTER), user + at, seeds, others[len(hosts) :])


def address_problem(url: str) -> str | None:
    """Why no connection can be made for this URL; None when it is good. Files of TLS that it names are
    read."""
    try:
        cluster = cluster_address(url)
        if cluster is not None and not cluster.seeds:
            return "a cluster needs the address of at least one node"
        for each in (url,) if cluster is None else map(cluster.url_at, cluster.seeds):
            _try(each)
    except ssl.SSLError as error:
        return f"a file of TLS is not good: {error.reason}"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except TypeError as error:
        # Words of a Python call: `… got an unexpected keyword argument 'foo'`.
        return f"no such option: {str(error).rpartition(' ')[2]}"
    except (RedisError, ValueError) as error:
        return str(error)
    return None


def _try(url: str) -> None:
    if re.fullmatch(r"/?[0-9]*", urlsplit(url).path) is None:
        raise ValueError("what follows the port is the number of a database")
    parsed: dict[str, Any] = dict(parse_url(url))
    for name in _FILES:
        if parsed.get(name) is not None:
            # OpenSSL's own error does not say which one.
            Path(parsed[name]).open("rb").close()
    kind = parsed.get("connection_class", Connection)
    connection = kind(**connection_options(parsed, None))
    if isinstance(connection, SSLConnection):
        connection.ssl_context.get()


def _node(host: str) -> Address:
    parts: SplitResult = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError("a node of a cluster is named host:port")
    return parts.hostname, parts.port or PORT
