"""The customer says no while Azure's reads, writes and copies are under way, whoever it is that stalls: each comes to its end with the
lease, refused or cut, and nothing of it is kept.

    azure_revoked.py PORTCULLIS DATA

The gate is one more, before the vaults of a running `portcullis dev --azure-port`; between it and the Azurite stands a wire that holds
back what it is told to.
"""

import contextlib
import datetime
import json
import re
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from azure.storage.blob import generate_blob_sas
from azure_raw import Side
from processes import free_ports, wait_for

PORTCULLIS, DATA = sys.argv[1], Path(sys.argv[2])
ENV = dict(line.split("=", 1) for line in (DATA / "dev.env").read_text().splitlines() if line)
BLOCK = {"x-ms-blob-type": "BlockBlob"}
# More than lies in the buffers between the store, the gate and a client that does not read.
LONG = bytes(range(256)) * (4 << 12)
NO = "KeyVaultEncryptionKeyNotFound"
TENANTS = ("acme", "globex")


class Wire:
    """Between the gate and the store. It goes by the method of a connection's last request: of `method`'s, no more than so many bytes
    pass that way."""

    def __init__(self, port, store):
        self.store, self.rule = store, None
        self.asked, self.held = {}, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def hold(self, method, answer=None, question=None):
        self.held.clear()
        self.rule = (method, {"answer": answer, "question": question})

    def flow(self):
        self.rule = None

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, gate):
        with gate, socket.create_connection(self.store) as store:
            method, passed = None, {}
            ends = {gate: (store, "question"), store: (gate, "answer")}
            while True:
                for one in select.select(list(ends), [], [], 0.05)[0]:
                    other, way = ends[one]
                    rule = self.rule
                    room = rule[1][way] if rule and rule[0] == method else None
                    if room is not None and passed[way] >= room:
                        self.held.set()
                        # Nothing more of it ever comes.
                        while self.rule is rule:
                            time.sleep(0.02)
                        return
                    try:
                        data = one.recv(16384 if room is None else min(16384, room - passed[way]))
                        if not data:
                            return
                        begun = re.match(rb"([A-Z]+) /", data) if way == "question" else None
                        if begun:
                            method, passed = begun[1].decode(), {"question": 0, "answer": 0}
                            self.asked[method] = self.asked.get(method, 0) + 1
                        passed[way] = passed.get(way, 0) + len(data)
                        other.sendall(data)
                    except OSError:
                        return


class Begun:
    """A request whose body goes out as it is told to, on a connection with a small window."""

    def __init__(self, side, method, target, headers=(), body=b"", sent=None):
        target = f"/{side.account}{target}"
        said = dict(headers) | ({"Content-Length": str(len(body))} if method == "PUT" else {})
        said = side.signed(method, target, said)
        host, port = side.address.split(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        # Three times the bound, and an eighth of the gate's own patience with a store.
        self.socket.settimeout(15)
        self.socket.connect((host, int(port)))
        lines = [f"{method} {target} HTTP/1.1", f"Host: {side.address}", *(f"{name}: {value}" for name, value in said.items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        # A gate whose store stalls takes what fits; the rest waits, and fails when the request is refused.
        threading.Thread(target=self.send, args=(body[:sent],), daemon=True).start()

    def send(self, body):
        with contextlib.suppress(OSError):
            self.socket.sendall(body)

    def head(self):
        self.got = b""
        while b"\r\n\r\n" not in self.got:
            more = self.socket.recv(1024)
            assert more, "no head"
            self.got += more
        return self.got

    def rest(self):
        """All that still comes, and whether the connection was reset."""
        got = getattr(self, "got", b"")
        try:
            while more := self.socket.recv(65536):
                got += more
        except ConnectionResetError:
            return got, True
        return got, False

    def is_refused(self, what):
        head = self.head().decode().lower()
        assert head.startswith("http/1.1 403 ") and f"x-ms-error-code: {NO.lower()}\r\n" in head, (what, head)


def customer(*words):
    subprocess.run([PORTCULLIS, "dev-customer", "--data", DATA, *words], check=True, capture_output=True)


def side(tenant):
    said = ENV[f"{tenant.upper()}_AZURE_CONNECTION_STRING"].strip("'")
    return Side(re.sub(r"BlobEndpoint=http://[^/]*", f"BlobEndpoint=http://127.0.0.1:{port}", said))


def is_up():
    try:
        side("acme").ask("GET", "/?comp=list")
    except OSError:
        return False
    return True


def audit(tenant, event):
    lines = [line for file in (DATA / "audit-revoked").glob(f"{tenant}.*") for line in file.read_text().splitlines()]
    events = [json.loads(line) for line in lines if line.endswith("}")]
    return [line for line in events if line["event"] == event]


def cuts():
    cut = audit("acme", "stream_cut")
    assert all(len(event["version"]) == 32 and event["operation"] == "GetBlob" for event in cut), cut
    return len(cut)


def says_no(tenant, once):
    """Once this has come about."""
    wait_for("what is under way", once, 30)
    customer(tenant, "disable-key")


def mended(tenant):
    wire.flow()
    customer(tenant, "enable-key")
    for own in TENANTS:
        wait_for(f"{own} is served", lambda: side(own).ask("GET", "/files/small")[0] == 200, 60)


def is_absent(tenant, name):
    status, head, _ = side(tenant).ask("HEAD", f"/files/{name}")
    assert status == 404, (name, status, head)


def reads():
    acme = side("acme")
    # A client that does not read on.
    before, get = cuts(), Begun(acme, "GET", "/files/long")
    assert b" 200 " in get.head()
    says_no("acme", lambda: True)
    wait_for("the cut of who does not read", lambda: cuts() > before, 20)
    got, reset = get.rest()
    assert reset and len(got) < len(LONG) // 2, (reset, len(got))
    mended("acme")
    # A store that sends no more.
    before = cuts()
    wire.hold("GET", answer=1 << 20)
    get = Begun(acme, "GET", "/files/long")
    said = threading.Thread(target=says_no, args=("acme", wire.held.is_set))
    said.start()
    got, reset = get.rest()
    said.join()
    assert b" 200 " in got[:20] and reset and len(got) < len(LONG), (got[:200], reset)
    wait_for("the audit of the cut", lambda: cuts() > before, 20)
    mended("acme")


def writes():
    acme = side("acme")
    half, last = len(LONG) // 2, len(LONG) - 1
    for kind, target, headers, stalls_after in (
        ("Put Block", "/files/new?comp=block&blockid=YQ==", {}, (1000, half, last)),
        ("Put Blob", "/files/new", BLOCK, (half,)),
        ("Append Block", "/files/appended?comp=appendblock", {}, (half,)),
    ):
        for stalls, sent in (*(("the client", sent) for sent in stalls_after), ("the store", None)):
            what = f"{kind}, {stalls} stalls after {sent}"
            if stalls == "the store":
                wire.hold("PUT", question=1 << 16)
            asked = wire.asked.get("PUT", 0)
            put = Begun(acme, "PUT", target, headers, LONG, sent)
            # Before a chunk is full there is nothing to send on; a block that is appended waits for its end.
            waits = stalls == "the client" and (sent == 1000 or kind == "Append Block")
            says_no("acme", wire.held.is_set if stalls == "the store" else lambda: waits or wire.asked.get("PUT", 0) > asked)
            put.is_refused(what)
            mended("acme")
            print(f"  {what}")
        status, _, listed = acme.ask("GET", "/files/new?comp=blocklist&blocklisttype=all")
        assert status == 404 or b"<Block>" not in listed, listed
        if kind != "Put Block":
            is_absent("acme", "new")
        assert acme.ask("GET", "/files/appended")[2] == b""


def copies():
    sas = generate_blob_sas("acme", "files", "long", account_key=ENV_KEY, permission="r", expiry=SOON)
    url = f"{side('acme').endpoint}/files/long?{sas}"
    # Another tenant's key opens what it stands for, and its own seals it: both must permit it.
    for kind, target, headers in (
        ("Copy Blob", "/files/copy", {}),
        ("Put Block From URL", "/files/copy?comp=block&blockid=YQ==", {}),
        ("Put Blob From URL", "/files/copy", BLOCK),
    ):
        for tenant in TENANTS:
            wire.hold("GET", answer=1 << 20)
            put = Begun(side("globex"), "PUT", target, headers | {"x-ms-copy-source": url})
            says_no(tenant, wire.held.is_set)
            put.is_refused(f"{kind}, {tenant}'s no")
            mended(tenant)
            print(f"  {kind}, {tenant}'s no")
        is_absent("globex", "copy")
    # Within one account the store copies what is sealed, and does not come to its end.
    wire.hold("PUT", answer=0)
    put = Begun(side("acme"), "PUT", "/files/own", {"x-ms-copy-source": f"{side('acme').endpoint}/files/long"})
    says_no("acme", wire.held.is_set)
    put.is_refused("a copy by the store")
    mended("acme")


def written_down():
    refused = audit("acme", "request_refused")
    assert refused and all(len(event["version"]) == 32 for event in refused), refused
    # Which of the two keys it was is not told, and so no version that may be another tenant's.
    copied = [event for event in audit("globex", "request_refused") if event["operation"] in FROM_ELSEWHERE]
    assert len(copied) >= 6 and not any("version" in event for event in copied), copied
    # What the store changes is found out under the tenant's own lease.
    _, head, stored = store.ask("GET", "/files/small")
    changed = stored[:705] + bytes([stored[705] ^ 1]) + stored[706:]
    kept = {name: value for name, value in head.items() if name.startswith("x-ms-meta-")}
    assert store.ask("PUT", "/files/small", BLOCK | kept, changed)[0] == 201
    status, head, _ = side("acme").ask("GET", "/files/small")
    assert (status, head["x-ms-error-code"]) == (409, "EncryptedBlobCorrupted"), (status, head)
    wait_for("the audit of it", lambda: audit("acme", "object_tampered"), 20)
    [event] = audit("acme", "object_tampered")
    assert event["version"] in {it["version"] for it in audit("acme", "lease_granted")}, event
    assert [event[name] for name in ("operation", "container", "name")] == ["GetBlob", "files", "small"], event


FROM_ELSEWHERE = ("CopyBlob", "PutBlockFromUrl", "PutBlobFromUrl")
store = Side(ENV["ACME_AZURITE_CONNECTION_STRING"].strip("'"))
ENV_KEY = re.search(r"AccountKey=([^;]*)", ENV["ACME_AZURE_CONNECTION_STRING"])[1]
SOON = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
port, over_tls, plain, tls, admin, between = free_ports(6)
at = urlsplit(store.endpoint)
wire = Wire(between, (at.hostname, at.port))
written = (DATA / "portcullis.toml").read_text()
ports = iter((plain, tls, port, over_tls))
written = re.sub(r'(?<=\n\[\[listener\]\]\naddress = ")[^"]*', lambda _: f"127.0.0.1:{next(ports)}", written)
written = re.sub(r'(?<=\n\[admin\]\naddress = ")[^"]*', f"127.0.0.1:{admin}", written)
written = written.replace('directory = "audit"', 'directory = "audit-revoked"').replace(f":{at.port}/", f":{between}/")
(DATA / "revoked.toml").write_text(written)
with open(DATA / "revoked.log", "w") as log:
    gate = subprocess.Popen([PORTCULLIS, "serve", "--config", DATA / "revoked.toml"], stdout=log, stderr=log)
try:
    wait_for(f"the gate ({DATA / 'revoked.log'})", is_up)
    for own in map(side, TENANTS):
        assert own.ask("PUT", "/files?restype=container")[0] in (201, 409)
        assert own.ask("PUT", "/files/small", BLOCK, b"small")[0] == 201
    assert side("acme").ask("PUT", "/files/long", BLOCK, LONG)[0] == 201
    assert side("acme").ask("PUT", "/files/appended", {"x-ms-blob-type": "AppendBlob"})[0] == 201
    for step in (reads, writes, copies, written_down):
        step()
        print(step.__name__)
    print("done")
finally:
    gate.terminate()
    gate.wait()
