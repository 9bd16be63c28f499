"""How little of the store is asked for to read a range: through a proxy that counts, between a gate and the Azurite of a running
`portcullis dev --azure-port`.

    azure_reads.py PORTCULLIS DATA
"""

import http.client
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

from azure.storage.blob import BlobBlock, BlobServiceClient
from processes import free_ports, wait_for

PORTCULLIS, DATA = sys.argv[1], Path(sys.argv[2])
ENV = dict(line.split("=", 1) for line in (DATA / "dev.env").read_text().splitlines() if line)
AZURITE = re.search(r"BlobEndpoint=http://([^/;']*)", ENV["ACME_AZURITE_CONNECTION_STRING"])[1]
MIB = 1 << 20
seen = []


class Counting(http.server.BaseHTTPRequestHandler):
    """Passes everything on, and notes each read: its range, and how many bytes of the answer were taken."""

    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        store = http.client.HTTPConnection(AZURITE, timeout=60)
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            store.putheader(name, value)
        store.endheaders(body or None)
        answer = store.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        content = answer.read() if self.command != "HEAD" else b""
        if answer.getheader("Content-Length") is None:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        read = {"range": self.headers.get("x-ms-range"), "status": answer.status, "taken": 0}
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


def reads(blob, start, count, expected, **options):
    """Reads a range and compares; what the store was asked for it."""
    seen.clear()
    got = blob.download_blob(offset=start, length=count, **options).readall()
    assert got == expected[start : start + count], (start, count)
    return list(seen)


def blocks(files):
    """A footer is read once, and then never again while the blob stays; a range costs itself and its block's header."""
    blob, data = files.get_blob_client("blocks"), os.urandom(5 * MIB)
    for number in range(5):
        blob.stage_block(f"{number}", data[number * MIB : (number + 1) * MIB])
    blob.commit_block_list([BlobBlock(f"{number}") for number in range(5)])
    first = reads(blob, 100, 10, data)
    assert len(first) >= 3, first  # as for a whole blob, the footer, the range
    for start, count, most in ((0, 10, 1), (100, 10, 1), (2 * MIB + 200_000, 10, 2), (MIB - 5, 10, 2), (0, 5 * MIB, 1)):
        asked = reads(blob, start, count, data)
        assert len(asked) <= most, (start, asked)
        assert sum(one["taken"] for one in asked) <= count * 1.01 + 2 * 65_552 + 6 * 704, (start, asked)
    # Another blob under the name: one question too many, and its own bytes.
    data = os.urandom(2 * MIB)
    for number in range(2):
        blob.stage_block(f"{number}", data[number * MIB : (number + 1) * MIB])
    blob.commit_block_list([BlobBlock(f"{number}") for number in range(2)])
    asked = reads(blob, MIB + 200_000, 10, data)
    assert 412 in [one["status"] for one in asked], asked
    assert len(reads(blob, MIB + 200_000, 10, data)) == 2
    whole = os.urandom(100_000)
    blob.upload_blob(whole, overwrite=True)
    assert reads(blob, 70_000, 10, whole)[0]["status"] == 412
    assert len(reads(blob, 70_000, 10, whole)) == 1
    # Metadata written changes the ETag, and nothing else.
    blob.upload_blob(data, overwrite=True)
    blob.set_blob_metadata({"a": "b"})
    assert reads(blob, 70_000, 10, data) and blob.get_blob_properties().metadata == {"a": "b"}


def rows(files):
    """A range near the end of an append blob does not cost all that lies before it."""
    blob, data = files.get_blob_client("row"), os.urandom(40 * MIB)
    blob.create_append_blob()
    for start in range(0, len(data), MIB):
        blob.append_block(data[start : start + MIB])
    for start, count in ((0, 10), (MIB, 10), (20 * MIB + 5, 100), (39 * MIB - 10, 20), (40 * MIB - 1, 1), (30 * MIB, 2 * MIB)):
        asked = reads(blob, start, count, data)
        taken = sum(one["taken"] for one in asked)
        # What the two systems hold of answers that were let go counts too.
        assert taken < 12 * MIB + count, (start, taken, asked)
    uneven = [1 + (number * number * 7919) % 200_000 for number in range(300)]
    data, blob = os.urandom(sum(uneven)), files.get_blob_client("uneven")
    blob.create_append_blob()
    at = 0
    for size in uneven:
        blob.append_block(data[at : at + size])
        at += size
    for start in range(0, len(data) - 1000, len(data) // 7):
        taken = sum(one["taken"] for one in reads(blob, start, 1000, data))
        assert taken < 14 * MIB, (start, taken)
    assert blob.download_blob().readall() == data


port, over_tls, plain, tls, admin, counting = free_ports(6)
proxy = Proxy(("127.0.0.1", counting), Counting)
threading.Thread(target=proxy.serve_forever, daemon=True).start()
written = (DATA / "portcullis.toml").read_text()
ports = iter((plain, tls, port, over_tls))
written = re.sub(r'(?<=\n\[\[listener\]\]\naddress = ")[^"]*', lambda _: f"127.0.0.1:{next(ports)}", written)
written = re.sub(r'(?<=\n\[admin\]\naddress = ")[^"]*', f"127.0.0.1:{admin}", written)
written = written.replace('directory = "audit"', 'directory = "audit-reads"').replace(f"http://{AZURITE}", f"http://127.0.0.1:{counting}")
assert f":{counting}" in written, "the gate's store is not the one that counts"
(DATA / "reads.toml").write_text(written)
with open(DATA / "reads.log", "w") as log:
    gate = subprocess.Popen([PORTCULLIS, "serve", "--config", DATA / "reads.toml"], stdout=log, stderr=log)
said = re.sub(r"BlobEndpoint=http://[^/]*", f"BlobEndpoint=http://127.0.0.1:{port}", ENV["ACME_AZURE_CONNECTION_STRING"].strip("'"))
service = BlobServiceClient.from_connection_string(said, retry_total=0, max_single_get_size=16 * MIB)


def is_up():
    try:
        return list(service.list_containers()) is not None
    except Exception:
        return False


try:
    wait_for(f"the gate ({DATA / 'reads.log'})", is_up, children=[gate])
    files = service.create_container("reads")
    for step in (blocks, rows):
        step(files)
        print(step.__name__)
    print("done")
finally:
    gate.terminate()
    gate.wait()
    proxy.shutdown()
