"""Azure requests as they are written, odd and wrong ones too, signed with SharedKey: what an SDK would mend or refuse is sent.

How it is signed: <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>
"""

import base64
import datetime
import hashlib
import hmac
import http.client
from urllib.parse import unquote, urlsplit

VERSION = "2021-12-02"
SIGNED = (
    "content-encoding content-language content-length content-md5 content-type date if-modified-since if-match "
    "if-none-match if-unmodified-since range"
).split()


class Side:
    """One account at one address."""

    def __init__(self, connection_string):
        said = dict(part.split("=", 1) for part in connection_string.split(";") if part)
        self.account, self.key = said["AccountName"], base64.b64decode(said["AccountKey"])
        self.endpoint = said["BlobEndpoint"]
        self.address = urlsplit(self.endpoint).netloc
        self.variables = {}

    def ask(self, method, target, headers=(), body=b"", *, account=None, key=None, signed=True, host=None):
        """Status, headers (names in lower case) and body of the answer. The target begins behind the account's name."""
        account = account or self.account
        target = f"/{account}{target}"
        sent = dict(headers)
        if body or method == "PUT":
            sent = {"Content-Length": str(len(body))} | sent
        sent = self.signed(method, target, sent, key=key, signed=signed)
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host or self.address)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def signed(self, method, target, headers, *, key=None, signed=True):
        """The headers with a date, a version and a signature; those of `None` are left out. The target begins with the account's name."""
        date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        sent = {name: value for name, value in ({"x-ms-date": date, "x-ms-version": VERSION} | dict(headers)).items() if value is not None}
        if signed:
            mac = hmac.new(key or self.key, self.text(method, target, sent).encode(), hashlib.sha256).digest()
            sent["Authorization"] = f"SharedKey {self.account}:{base64.b64encode(mac).decode()}"
        return sent

    def text(self, method, target, headers):
        lower = {name.lower(): value for name, value in headers.items()}
        path, _, query = target.partition("?")
        standard = [lower.get(name, "") for name in SIGNED]
        if standard[2] == "0":
            standard[2] = ""
        own = [f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("x-ms-")]
        parameters = {}
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            parameters.setdefault(unquote(name).lower(), []).append(unquote(value))
        resource = [f"/{self.account}{path}"] + [f"{name}:{','.join(sorted(parameters[name]))}" for name in sorted(parameters)]
        return "\n".join([method, *standard, *own, *resource])
