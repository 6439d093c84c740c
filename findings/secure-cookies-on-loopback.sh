#!/usr/bin/env bash
# Which clients send a `Secure` cookie back over plain http to 127.0.0.1: curl does, Python's do not.
#
# Installs pinned packages into a folder of its own, which is removed at the end. Fails when this has changed.
set -euo pipefail

work="$(mktemp -d)"
server=""
trap '[ -z "$server" ] || kill "$server"; rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check httpx==0.28.1 requests==2.34.2

cat > "$work/server.py" <<'PYTHON'
import http.server


class Login(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (self.headers.get("Cookie") or "no cookie").encode()
        self.send_response(200)
        if self.path == "/login":
            self.send_header("Set-Cookie", "__Host-device=abc; Path=/; Secure; HttpOnly; SameSite=Strict")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Login)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
mkfifo "$work/port"
python3 "$work/server.py" > "$work/port" &
server=$!
read -r port < "$work/port"
url="http://127.0.0.1:$port"

curl --silent --output /dev/null --cookie-jar "$work/jar" "$url/login"
by_curl="$(curl --silent --cookie "$work/jar" "$url/me")"
echo "$(curl --version | head -n 1 | cut -d ' ' -f 1,2): $by_curl"

by_python="$("$work/venv/bin/python" - "$url" <<'PYTHON'
import sys

import httpx
import requests

for library, session in ((httpx, httpx.Client()), (requests, requests.Session())):
    session.get(f"{sys.argv[1]}/login")
    kept = [cookie.name for cookie in getattr(session.cookies, "jar", session.cookies)]
    answer = session.get(f"{sys.argv[1]}/me").text
    print(f"{library.__name__} {library.__version__}: kept {','.join(kept)}, sent {answer}")
PYTHON
)"
echo "$by_python"

[ "$by_curl" = "__Host-device=abc" ]
[ "$by_python" = "httpx 0.28.1: kept __Host-device, sent no cookie
requests 2.34.2: kept __Host-device, sent no cookie" ]
