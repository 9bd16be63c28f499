"""Who may do what on the Azure side, by the official SDKs: tokens of Entra's, user delegation SAS, nobody at all; and what the gate is
to its own store: an identity, a SAS, a key, in a gate that has Azure stores only.

    azure_entra.py PORTCULLIS DATA

DATA is of a running `portcullis dev --azure-port`; PORTCULLIS_AZURITE names an azurite-blob.
"""

import datetime
import os
import re
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

PORTCULLIS, DATA = sys.argv[1], Path(sys.argv[2])
ENV = {}
for line in (DATA / "dev.env").read_text().splitlines():
    name, _, value = line.partition("=")
    ENV[name] = value.strip("'")
os.environ["REQUESTS_CA_BUNDLE"] = ENV["CA_FILE"]

# Names below localhost are loopback (RFC 6761 section 6.3), which not every system's resolver knows.
system_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, *args, **kwargs):
    if isinstance(host, str) and host.endswith(".localhost"):
        host = "127.0.0.1"
    return system_getaddrinfo(host, *args, **kwargs)


socket.getaddrinfo = getaddrinfo

from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.storage.blob import (
    AccountSasPermissions,
    BlobBlock,
    BlobClient,
    BlobServiceClient,
    CorsRule,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
)

import processes

SECRET = b"what only the right ones may read"
NOW = datetime.datetime.now(datetime.timezone.utc)
SOON = NOW + datetime.timedelta(hours=1)


def application(name):
    return ClientSecretCredential(
        tenant_id=ENV["ENTRA_TENANT"],
        client_id=ENV[f"{name}_CLIENT_ID"],
        client_secret=ENV[f"{name}_CLIENT_SECRET"],
        authority=ENV["ENTRA_AUTHORITY"],
        disable_instance_discovery=True,
    )


# A managed identity that vouches for the application, which the customer of this tenant has installed.
FEDERATED = 'identity = "cross-tenant"\nentra_tenant = "{}"'
ACME_TENANT = "a0000000-0000-4000-8000-000000000002"
WRITER, READER = application("ACME_AZURE"), application("ACME_AZURE_READER")


def service(credential, account="acme", endpoint=ENV["AZURE_BLOB_TLS_ENDPOINT"], **options):
    return BlobServiceClient(f"{endpoint}/{account}", credential, retry_total=0, **options)


def refused(work, status, code):
    try:
        work()
    except HttpResponseError as error:
        found = error.response.headers.get("x-ms-error-code")
        assert (error.status_code, found) == (status, code), (error.status_code, found)
        return error.response
    raise AssertionError(f"{code}: nothing was refused")


def raw(url, method="GET", headers=()):
    """Status, headers and body of a request that nobody signed."""
    context = ssl.create_default_context(cafile=ENV["CA_FILE"])
    request = urllib.request.Request(url, method=method, headers={"x-ms-version": "2021-12-02"} | dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=30, context=context if url.startswith("https") else None) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def roles():
    writer, reader = service(WRITER), service(READER)
    files = writer.create_container("entra")
    blob = files.upload_blob("blob", SECRET)
    same = reader.get_blob_client("entra", "blob")
    assert same.download_blob().readall() == SECRET and same.exists()
    assert [one.name for one in reader.get_container_client("entra").list_blobs()] == ["blob"]
    assert "entra" in [one.name for one in reader.list_containers()]
    denied = (403, "AuthorizationPermissionMismatch")
    refused(lambda: same.upload_blob(b"x", overwrite=True), *denied)
    refused(lambda: same.delete_blob(), *denied)
    refused(lambda: reader.create_container("another"), *denied)
    refused(lambda: blob.set_blob_tags({"a": "b"}), *denied)
    refused(lambda: files.set_container_access_policy({}), *denied)
    refused(lambda: writer.set_service_properties(target_version="2021-12-02"), *denied)
    # Blocks, copies within the account, batches: all with the same token.
    large = files.upload_blob("large", SECRET * 400_000, max_concurrency=2)
    copy = files.get_blob_client("copy")
    assert copy.start_copy_from_url(large.url)["copy_status"] == "success"
    assert copy.download_blob().readall() == SECRET * 400_000
    assert [one.status_code for one in files.delete_blobs("large", "copy")] == [202, 202]
    # Another account knows neither.
    refused(lambda: service(WRITER, "globex").get_container_client("entra").exists(), *denied)


def tokens():
    """A token that is not for storage, one that is none, none at all: with the way to a better one."""

    class Other:
        def __init__(self, scope):
            self.scope = scope

        def get_token(self, *scopes, **options):
            return WRITER.get_token(self.scope)

    url = f"{ENV['AZURE_BLOB_TLS_ENDPOINT']}/acme/entra/blob"
    where = f"Bearer authorization_uri={ENV['ENTRA_AUTHORITY']}/{ENV['ENTRA_TENANT']}/oauth2/authorize resource_id=https://storage.azure.com"
    for_vault = WRITER.get_token("https://vault.azure.net/.default").token
    genuine = WRITER.get_token("https://storage.azure.com/.default").token
    head, claims, signature = genuine.split(".")
    for authorization, status, code in [
        (f"Bearer {for_vault}", 401, "InvalidAuthenticationInfo"),
        (f"Bearer {head}.{claims}.{signature[:-8]}AAAAAAAA", 401, "InvalidAuthenticationInfo"),
        ("Bearer x.y.z", 401, "InvalidAuthenticationInfo"),
        (None, 401, "NoAuthenticationInformation"),
    ]:
        headers = {"Authorization": authorization} if authorization else {}
        found = raw(url, headers=headers)
        assert (found[0], found[1]["x-ms-error-code"], found[1]["WWW-Authenticate"]) == (status, code, where), found[:2]
    assert b"Audience validation failed" in raw(url, headers={"Authorization": f"Bearer {for_vault}"})[2]
    assert raw(url, headers={"Authorization": f"Bearer {genuine}"})[2] == SECRET
    # A client that asks for too much at first finds its way by the challenge.
    found = service(Other("https://vault.azure.net/.default")).get_blob_client("entra", "blob")
    refused(lambda: found.download_blob(), 401, "InvalidAuthenticationInfo")


def delegation():
    def url(credential, permission, **options):
        key = service(credential).get_user_delegation_key(NOW - datetime.timedelta(minutes=5), SOON)
        sas = generate_blob_sas(
            "acme", "entra", "blob", user_delegation_key=key, permission=permission, expiry=SOON, **options
        )
        return f"{ENV['AZURE_BLOB_ENDPOINT']}/acme/entra/blob?{sas}"

    of_reader = BlobClient.from_blob_url(url(READER, "rw"), retry_total=0)
    assert of_reader.download_blob().readall() == SECRET
    refused(lambda: of_reader.upload_blob(b"x", overwrite=True), 403, "AuthorizationPermissionMismatch")
    of_writer = BlobClient.from_blob_url(url(WRITER, "rw"), retry_total=0)
    of_writer.upload_blob(SECRET, overwrite=True)
    refused(lambda: of_writer.delete_blob(), 403, "AuthorizationPermissionMismatch")
    # Nobody may put another's name to it.
    other = url(WRITER, "rw").replace("entra/blob?", "entra/other?")
    refused(lambda: BlobClient.from_blob_url(other, retry_total=0).exists(), 403, "AuthenticationFailed")
    assert raw(url(WRITER, "r", ip="10.1.2.3"))[0] == 403
    for days in (8, -1):
        end = NOW + datetime.timedelta(days=days)
        refused(lambda: service(READER).get_user_delegation_key(NOW, end), 400, "InvalidXmlNodeValue")
    by_key = BlobServiceClient.from_connection_string(ENV["ACME_AZURE_CONNECTION_STRING"], retry_total=0)
    refused(lambda: by_key.get_user_delegation_key(NOW, SOON), 403, "AuthenticationFailed")


def sources():
    """A copy's source by a token of its own: whoever asks has a key of another account only."""
    key = re.search("AccountKey=([^;]*)", ENV["GLOBEX_AZURE_CONNECTION_STRING"])[1]
    theirs = service({"account_name": "globex", "account_key": key}, "globex").create_container("by-token")
    url = service(READER).get_blob_client("entra", "blob").url
    token = lambda scope: f"Bearer {READER.get_token(scope).token}"  # noqa: E731
    good, for_vault = token("https://storage.azure.com/.default"), token("https://vault.azure.net/.default")
    blob = theirs.get_blob_client("blob")
    blob.start_copy_from_url(url, requires_sync=True, source_authorization=good)
    assert blob.download_blob().readall() == SECRET
    blob.upload_blob_from_url(url, overwrite=True, source_authorization=good)
    blob.stage_block_from_url("1", url, source_authorization=good)
    blob.commit_block_list([BlobBlock("1")])
    assert blob.download_blob().readall() == SECRET
    rows = theirs.get_blob_client("rows")
    rows.create_append_blob()
    rows.append_block_from_url(url, source_authorization=good)
    assert rows.download_blob().readall() == SECRET
    other = theirs.get_blob_client("other")
    unverified = (403, "CannotVerifyCopySource")
    head, claims, signature = good.split(".")
    for wrong in (None, for_vault, f"{head}.{claims}.{signature[:-8]}AAAAAAAA", "Bearer x", "SharedKey acme:AAAA", good.split()[1]):
        options = {"source_authorization": wrong} if wrong else {}
        refused(lambda: other.start_copy_from_url(url, requires_sync=True, **options), *unverified)
        refused(lambda: other.stage_block_from_url("1", url, **options), *unverified)
    # It is the source's that counts: the reader knows nothing of this account.
    refused(lambda: other.start_copy_from_url(blob.url.replace("/globex/", "/initech/"), requires_sync=True, source_authorization=good), *unverified)
    back = service(WRITER).get_blob_client("entra", "back")
    refused(lambda: back.start_copy_from_url(blob.url, requires_sync=True, source_authorization=good), *unverified)
    assert not other.exists() and not back.exists()


def azure_only(children):
    """A gate whose only stores are Azure's, over TLS: the keyring lies there too."""
    store_port, port, admin = processes.free_ports(3)
    key = "c2VjcmV0IG9mIHRoZSBhY2NvdW50IGF0IHRoZSBzdG9yZQ=="
    (DATA / "secrets/isv-azurite").write_text(key)
    blobs = DATA / "azurite-tls"
    store = f"https://127.0.0.1:{store_port}"
    children.start(
        os.environ["PORTCULLIS_AZURITE"],
        *("--blobHost", "127.0.0.1", "--blobPort", str(store_port), "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
        *("--location", blobs, "--cert", DATA / "gate.pem", "--key", DATA / "gate.key", "--oauth", "basic"),
        log=DATA / "azurite-tls.log",
        # It reads the source of a copy as anybody would, from itself.
        env=os.environ | {"AZURITE_ACCOUNTS": f"isv:{key}", "NODE_EXTRA_CA_CERTS": ENV["CA_FILE"]},
    )
    bare = BlobServiceClient(f"{store}/isv", {"account_name": "isv", "account_key": key})
    processes.wait_for("Azurite over TLS", lambda: bare.get_service_properties() and True if listens(store_port) else None)
    rule = CorsRule(["https://app.example"], ["GET", "PUT"], allowed_headers=["x-ms-*"], exposed_headers=["x-ms-meta-*"])
    bare.set_service_properties(cors=[rule])
    # Nobody makes a container that tenants share through the gate, so `check` would warn.
    bare.create_container("shared")
    sas = generate_account_sas(
        "isv", key, ResourceTypes(True, True, True), AccountSasPermissions.from_string("rwdlacupt"), SOON
    )
    (DATA / "secrets/isv-sas").write_text(sas)
    dev = (DATA / "portcullis.toml").read_text()
    common = re.search(r"\[keys\].*?(?=\n\[\[credential\]\])", dev, re.S)[0]
    for number, credential in enumerate(
        ['identity = "own-tenant"', FEDERATED.format(ACME_TENANT), 'sas = { file = "secrets/isv-sas" }', 'account_key = { file = "secrets/isv-azurite" }']
    ):
        (DATA / "azure-only.toml").write_text(
            f"""dev = true
[admin]
address = "127.0.0.1:{admin}"
[[listener]]
address = "127.0.0.1:{port}"
protocol = "azure"
{common}
[store.blob]
kind = "azure"
endpoint = "{store}/isv"
account = "isv"
{credential}
system_container = "portcullis-system"
ca_file = "{ENV["CA_FILE"]}"
[account.acme]
store = "blob"
keys = [{{ file = "secrets/acme-azure" }}]
[account.acme.container."files-{{tenant}}"]
tenant = "{{tenant}}"
[account.acme.container.shared]
prefix = "customers/{{tenant}}/"
tenant = "{{tenant}}"
[account.acme.container."public-*"]
tenant = "globex"
anonymous = "container"
[account.acme.container."known-*"]
tenant = "globex"
anonymous = "blob"
"""
        )
        command = [PORTCULLIS, "check", "--config", DATA / "azure-only.toml"]
        if "entra_tenant" in credential:
            # The exchange is with Entra, and for that tenant: one where the application is not installed has no token for it.
            there = (DATA / "azure-only.toml").read_text()
            (DATA / "azure-only.toml").write_text(there.replace(credential, FEDERATED.format(ENV["ENTRA_TENANT"])))
            refused_there = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert refused_there.returncode and "no token" in refused_there.stdout, refused_there.stdout
            (DATA / "azure-only.toml").write_text(there)
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        assert "FAILED" not in checked and "container" in checked, checked
        print(next(line for line in checked.splitlines() if "for isv" in line))
        tried = [line for line in checked.splitlines() if line.strip().startswith("round trip")]
        assert tried and all(" ok " in line and "sealed, stored, read and opened" in line for line in tried), checked
        assert not list(bare.get_container_client("portcullis-system").list_blob_names(name_starts_with="check/"))
        gate = children.start(PORTCULLIS, "serve", "--config", DATA / "azure-only.toml", log=DATA / "azure-only.log")
        processes.wait_for("the gate", lambda: listens(port) or None, children=[gate])
        served(f"http://127.0.0.1:{port}", bare, str(number), blobs)
        children.stop(gate)


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def served(endpoint, bare, number, blobs):
    client = BlobServiceClient.from_connection_string(
        re.sub(r"BlobEndpoint=.*?;", f"BlobEndpoint={endpoint}/acme;", ENV["ACME_AZURE_CONNECTION_STRING"]), retry_total=0
    )
    # The tenant's name in the container's.
    for tenant in ("acme", "globex"):
        container = client.get_container_client(f"files-{tenant}")
        container.exists() or container.create_container()
        blob = container.upload_blob(number, SECRET, overwrite=True)
        assert blob.download_blob().readall() == SECRET
        for name, sync in ((f"{number}-later", False), (f"{number}-now", True)):
            copy = container.get_blob_client(name)
            assert copy.start_copy_from_url(blob.url, requires_sync=sync)["copy_status"] == "success"
            assert copy.download_blob().readall() == SECRET
    refused(lambda: client.create_container("files-nobody"), 404, "ContainerNotFound")
    refused(lambda: client.create_container("portcullis-system"), 404, "ContainerNotFound")
    assert b"portcullis-system" not in str([one.name for one in client.list_containers()]).encode()
    assert list(bare.get_container_client("portcullis-system").list_blob_names(name_starts_with="keyring/acme/"))

    # The tenant's name in the blob's: nothing but what lies with one.
    shared = client.get_container_client("shared")
    for tenant in ("acme", "globex"):
        shared.upload_blob(f"customers/{tenant}/{number}", SECRET, overwrite=True)
        assert shared.download_blob(f"customers/{tenant}/{number}").readall() == SECRET
        listed = [one.name for one in shared.list_blobs(name_starts_with=f"customers/{tenant}/")]
        assert f"customers/{tenant}/{number}" in listed and all(tenant in name for name in listed)
    denied = (403, "AuthorizationFailure")
    assert shared.exists()
    for prefix in (None, "", "customers/", "customers/acme", "customers/nobody/"):
        refused(lambda: list(shared.list_blobs(name_starts_with=prefix)), *denied)
    for name in ("x", "customers/nobody/x", "customers/x", "Customers/acme/x"):
        refused(lambda: shared.upload_blob(name, b"x"), *denied)
    refused(lambda: shared.delete_container(), *denied)
    refused(lambda: list(shared.find_blobs_by_tags("\"a\"='b'")), *denied)
    # From one tenant to the other: opened and sealed anew.
    copy = shared.get_blob_client(f"customers/globex/copy{number}")
    copy.start_copy_from_url(shared.get_blob_client(f"customers/acme/{number}").url)
    assert copy.download_blob().readall() == SECRET

    # What is open to the world, and how far.
    for kind in ("public-1", "known-1"):
        container = client.get_container_client(kind)
        container.exists() or container.create_container()
        container.upload_blob("page", SECRET, overwrite=True)
        assert raw(f"{endpoint}/acme/{kind}/page")[2] == SECRET
        assert raw(f"{endpoint}/acme/{kind}/page", "HEAD")[0] == 200
        assert raw(f"{endpoint}/acme/{kind}/page", "DELETE")[0] == 401
    assert raw(f"{endpoint}/acme/public-1?restype=container&comp=list")[0] == 200
    for closed in ("known-1?restype=container&comp=list", f"files-acme/{number}", "nowhere/x", "?comp=list", "portcullis-system/x"):
        assert raw(f"{endpoint}/acme/{closed}")[0] == 401, closed

    # The secondary reads.
    assert raw(f"{endpoint}/acme-secondary/public-1/page")[2] == SECRET
    second = BlobServiceClient.from_connection_string(
        re.sub(r"BlobEndpoint=.*?;", f"BlobEndpoint={endpoint}/acme-secondary;", ENV["ACME_AZURE_CONNECTION_STRING"]), retry_total=0
    )
    assert second.get_blob_client("files-acme", number).download_blob().readall() == SECRET
    refused(lambda: second.get_blob_client("files-acme", "x").upload_blob(b"x"), 405, "UnsupportedHttpVerb")

    # A browser: what the store's own rules say.
    browser = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
    status, headers, _ = raw(f"{endpoint}/acme/files-acme/x", "OPTIONS", browser)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://app.example"), (status, headers)
    assert raw(f"{endpoint}/acme/files-acme/x", "OPTIONS", browser | {"Origin": "https://other.example"})[0] == 403
    for path, status in (("public-1/page", 200), ("public-1/gone", 404)):
        found = raw(f"{endpoint}/acme/{path}", headers={"Origin": "https://app.example"})
        assert (found[0], found[1]["Access-Control-Allow-Origin"]) == (status, "https://app.example"), (found[0], found[1].items())
    assert raw(f"{endpoint}/acme/public-1/page")[1]["Access-Control-Allow-Origin"] is None
    for file in blobs.rglob("*"):
        assert not file.is_file() or SECRET not in file.read_bytes(), file


roles()
tokens()
delegation()
sources()
with processes.Children() as children:
    azure_only(children)
print("done")
