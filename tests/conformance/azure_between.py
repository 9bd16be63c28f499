"""Between a gate of its own and the Azurite of a running `portcullis dev --azure-port`: a proxy that passes everything on, notes what
is read, and does what it is told to with a request first.

For scripts that are called `SCRIPT PORTCULLIS DATA`.
"""

import contextlib
import http.client
import http.server
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

from azure.storage.blob import BlobServiceClient
from processes import free_ports, wait_for

PORTCULLIS, DATA = sys.argv[1], Path(sys.argv[2])
ENV = dict(line.split("=", 1) for line in (DATA / "dev.env").read_text().splitlines() if line)
AZURITE = re.search(r"BlobEndpoint=http://([^/;']*)", ENV["ACME_AZURITE_CONNECTION_STRING"])[1]
MIB = 1 << 20
# What was read of the store, in order.
seen = []
# What is called with the handler of each request before it is passed on.
before = []
# What is called with the handler, the answer's status and its body, and returns what the gate gets for a body.
after = []


class Passing(http.server.BaseHTTPRequestHandler):
    """Passes everything on, and notes each read: its range, its condition, and how many bytes of the answer were taken."""

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for told in list(before):
            told(self)
        store = http.client.HTTPConnection(AZURITE, timeout=60)
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            store.putheader(name, value)
        store.endheaders(body or None)
        answer = store.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        content = answer.read() if self.command != "HEAD" else b""
        length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else None
        for told in list(after):
            content = told(self, answer.status, content)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        read = {"range": self.headers.get("x-ms-range"), "if-match": self.headers.get("If-Match"), "status": answer.status, "taken": 0}
        if self.command == "GET":
            seen.append(read)
        try:
            for start in range(0, len(content), 65_536):
                piece = content[start : start + 65_536]
                self.wfile.write(piece)
                read["taken"] += len(piece)
        except OSError:
            self.close_connection = True
        store.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    def log_message(self, *_):
        pass


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def get_request(self):
        # What the system holds back of an answer nobody takes would count as taken.
        connection, address = super().get_request()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        return connection, address


@contextlib.contextmanager
def gate(name, more=""):
    """A gate of its own before the proxy, with so much more in its configuration, and the account `acme` as it shows it."""
    port, over_tls, plain, tls, admin, between = free_ports(6)
    proxy = Proxy(("127.0.0.1", between), Passing)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    written = (DATA / "portcullis.toml").read_text() + more
    ports = iter((plain, tls, port, over_tls))
    written = re.sub(r'(?<=\n\[\[listener\]\]\naddress = ")[^"]*', lambda _: f"127.0.0.1:{next(ports)}", written)
    written = re.sub(r'(?<=\n\[admin\]\naddress = ")[^"]*', f"127.0.0.1:{admin}", written)
    written = written.replace('directory = "audit"', f'directory = "audit-{name}"').replace(f"http://{AZURITE}", f"http://127.0.0.1:{between}")
    assert f":{between}" in written, "the gate's store is not the proxy"
    (DATA / f"{name}.toml").write_text(written)
    with open(DATA / f"{name}.log", "w") as log:
        child = subprocess.Popen([PORTCULLIS, "serve", "--config", DATA / f"{name}.toml"], stdout=log, stderr=log)
    said = re.sub(r"BlobEndpoint=http://[^/]*", f"BlobEndpoint=http://127.0.0.1:{port}", ENV["ACME_AZURE_CONNECTION_STRING"].strip("'"))
    service = BlobServiceClient.from_connection_string(said, retry_total=0, max_single_get_size=16 * MIB)

    def is_up():
        try:
            return list(service.list_containers()) is not None
        except Exception:
            return False

    try:
        wait_for(f"the gate ({DATA / f'{name}.log'})", is_up, children=[child])
        yield service
    finally:
        child.terminate()
        child.wait()
        proxy.shutdown()
