"""Two tenants in one storage account, each with an account of its own at the gate: no spelling of an address leads through the wall.

    azure_walls.py PORTCULLIS DATA

The gate is one more, before the Azurite and the vaults of a running `portcullis dev --azure-port`.
"""

import base64
import re
import subprocess
import sys
from pathlib import Path

from azure_raw import Side
from processes import free_ports, wait_for

PORTCULLIS, DATA = sys.argv[1], Path(sys.argv[2])
ENV = dict(line.split("=", 1) for line in (DATA / "dev.env").read_text().splitlines() if line)
SECRET = b"what only its own tenant may read"
BLOCK = {"x-ms-blob-type": "BlockBlob"}

store = Side(ENV["ACME_AZURITE_CONNECTION_STRING"].strip("'"))
port, over_tls, plain, tls, admin = free_ports(5)
written = (DATA / "portcullis.toml").read_text()
ports = iter((plain, tls, port, over_tls))
written = re.sub(r'(?<=\n\[\[listener\]\]\naddress = ")[^"]*', lambda _: f"127.0.0.1:{next(ports)}", written)
written = re.sub(r'(?<=\n\[admin\]\naddress = ")[^"]*', f"127.0.0.1:{admin}", written)
written = written.replace('directory = "audit"', 'directory = "audit-walls"')
# One real account; in it each tenant has the containers that begin with its name.
written = written.replace('store = "globex-blob"', 'store = "acme-blob"')
written = written.replace('[account.acme.container."*"]', '[account.acme.container."acme-*"]')
written = written.replace('[account.globex.container."*"]', '[account.globex.container."globex-*"]')
(DATA / "walls.toml").write_text(written)
with open(DATA / "walls.log", "w") as log:
    gate = subprocess.Popen([PORTCULLIS, "serve", "--config", DATA / "walls.toml"], stdout=log, stderr=log)


def side(tenant):
    said = ENV[f"{tenant.upper()}_AZURE_CONNECTION_STRING"].strip("'")
    return Side(re.sub(r"BlobEndpoint=http://[^/]*", f"BlobEndpoint=http://127.0.0.1:{port}", said))


def is_up():
    try:
        side("acme").ask("GET", "/?comp=list")
    except OSError:
        return False
    return True


def walls():
    acme, globex = side("acme"), side("globex")
    assert store.ask("PUT", "/portcullis-system?restype=container")[0] == 201
    assert store.ask("PUT", "/$root?restype=container")[0] == 201
    assert store.ask("PUT", "/$root/globex-files", BLOCK, b"sealed")[0] == 201
    for own, name in ((acme, "acme-files"), (globex, "globex-files")):
        for container in (name, f"{own.account}-more"):
            assert own.ask("PUT", f"/{container}?restype=container")[0] == 201, container
        assert own.ask("PUT", f"/{name}/blob", BLOCK, SECRET)[0] == 201
        assert own.ask("GET", f"/{name}/blob")[2] == SECRET

    def stands(method, target, headers=(), body=b"", **options):
        status, head, answer = acme.ask(method, target, headers, body, **options)
        assert 400 <= status < 500, (method, target, status)
        # Not for the signature's sake, which would say nothing of the spelling.
        assert options or head.get("x-ms-error-code") != "AuthenticationFailed", (method, target)
        assert SECRET not in answer and b"globex-more" not in answer, (method, target)

    spellings = [
        "globex-files",
        "Globex-files",
        "globex%2Dfiles",
        "%67lobex-files",
        "globex-files%20",
        "globex-files%00",
        "globex-files.",
        "/globex-files",
        "./globex-files",
        "acme-files/../globex-files",
        "acme-files/%2e%2e/globex-files",
        "acme-files/..%2fglobex-files",
        "acme-files/..%5Cglobex-files",
        "acme-files/%2e%2e%2fglobex-files",
        "acme-files%2f..%2fglobex-files",
        "acme-files/x/../../globex-files",
        "../globex/globex-files",
        "portcullis-system",
        "PORTCULLIS-SYSTEM",
        "portcullis%2Dsystem",
        "acme-files/../portcullis-system",
        "$root",
        "%24root",
        "$logs",
    ]
    for name in spellings:
        for target in (f"/{name}/blob", f"/{name}/blob?comp=metadata", f"/{name}/blob?comp=blocklist", f"/{name}"):
            stands("GET", target)
            stands("DELETE", target)
        for target in ("", "&comp=list", "&comp=acl"):
            stands("GET", f"/{name}?restype=container{target}")
        stands("DELETE", f"/{name}?restype=container")
        stands("PUT", f"/{name}?restype=container")
        stands("PUT", f"/{name}/new", BLOCK, b"x")
        for host in (store.endpoint, acme.endpoint, globex.endpoint):
            source = {"x-ms-copy-source": f"{host.rsplit('/', 1)[0]}/{acme.account}/{name}/blob"}
            stands("PUT", "/acme-files/copy", source)
            stands("PUT", "/acme-files/copy", {"x-ms-copy-source": f"{host}/{name}/blob"} | BLOCK)
    # Another's account with one's own key; parameters that say two things; a host that names another account than the path.
    stands("GET", "/globex-files/blob", account="globex")
    stands("GET", "/globex-files/blob", host="globex.blob.localhost")
    stands("DELETE", "/acme-files/blob?restype=container")
    stands("GET", "/acme-files/blob?comp=metadata&comp=")
    stands("GET", "/globex-files/")
    stands("DELETE", "/globex-files/")
    # A batch's requests each stand for themselves.
    inner = "DELETE /acme/globex-files/blob HTTP/1.1\r\nx-ms-date: {}\r\nContent-Length: 0\r\n\r\n"
    body = f"--b\r\nContent-Type: application/http\r\nContent-ID: 0\r\n\r\n{inner}\r\n--b--\r\n".encode()
    status, _, answer = acme.ask("POST", "/?comp=batch", {"Content-Type": "multipart/mixed; boundary=b"}, body)
    assert b"HTTP/1.1 202" not in answer, (status, answer)
    # What concerns the whole of the real account.
    stands("PUT", "/?restype=service&comp=properties", body=b"<StorageServiceProperties/>")
    listed = acme.ask("GET", "/?comp=list")[2]
    assert b"acme-files" in listed and b"globex" not in listed and b"portcullis-system" not in listed, listed
    # Nothing was lost to any of it.
    assert globex.ask("GET", "/globex-files/blob")[2] == SECRET
    assert acme.ask("GET", "/acme-files/blob")[2] == SECRET
    assert store.ask("GET", "/$root/globex-files")[2] == b"sealed"
    assert store.ask("GET", "/portcullis-system?restype=container")[0] == 200
    # The other's sealed bytes under one's own name open for nobody.
    stored = store.ask("GET", "/globex-files/blob")
    metadata = {name: value for name, value in stored[1].items() if name.startswith("x-ms-meta-")}
    assert store.ask("PUT", "/acme-files/stolen", BLOCK | metadata, stored[2])[0] == 201
    status, head, answer = acme.ask("GET", "/acme-files/stolen")
    assert (status, head.get("x-ms-error-code")) == (409, "EncryptedBlobCorrupted"), (status, answer)


try:
    wait_for(f"the gate ({DATA / 'walls.log'})", is_up)
    walls()
    print("done")
finally:
    gate.terminate()
    gate.wait()
