from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.redis_server import RedisServer

NEVER_AGAIN = Retry(NoBackoff(), 0)


@pytest.fixture(scope="module")
def own_redis() -> Iterator[RedisServer]:
    """For tests that stop it: other tests keep theirs undisturbed."""
    server = RedisServer()
    try:
        yield server.start()
    finally:
        server.close()


def test_a_connection_without_tls_is_refused(redis_server: RedisServer) -> None:
    client = redis.Redis(redis_server.host, redis_server.port, retry=NEVER_AGAIN)
    with client, pytest.raises(redis.ConnectionError):
        client.ping()


def test_a_certificate_of_an_unknown_authority_is_refused(redis_server: RedisServer) -> None:
    # Without `ssl_ca_certs` the authorities of this machine decide, and they do not know ours.
    client = redis.Redis(redis_server.host, redis_server.port, ssl=True, retry=NEVER_AGAIN)
    with client, pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        client.ping()


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"username": "default", "password": ""}])
def test_a_wrong_login_is_refused(redis_server: RedisServer, login: dict[str, str]) -> None:
    with redis_server.client(**login) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_a_script_runs_atomically_on_the_servers_own_clock(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        script = client.register_script(
            "redis.call('INCRBY', KEYS[1], ARGV[1]); "
            "return {redis.call('GET', KEYS[1]), redis.call('TIME')[1]}"
        )
        counter, seconds = script(keys=["ground:counter"], args=[7])
        assert counter == b"7"
        assert int(seconds) > 0
        client.delete("ground:counter")


def test_nothing_is_evicted(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_restart_and_a_kill_keep_the_data_and_the_port(own_redis: RedisServer) -> None:
    port = own_redis.port
    with own_redis.client() as client:
        client.set("kept", "before the restart")
    own_redis.restart()
    with own_redis.client() as client:
        assert client.get("kept") == b"before the restart"
        client.set("kept", "before the kill")
    own_redis.kill()
    assert not own_redis.running
    own_redis.start()
    assert own_redis.port == port
    with own_redis.client() as client:
        assert client.get("kept") == b"before the kill"
