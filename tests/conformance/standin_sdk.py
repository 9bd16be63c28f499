"""Microsoft's Python SDKs against the stand-in for Azure: they authenticate, wrap, unwrap and administer, or the stand-in lies.

Needs: pip install azure-identity azure-keyvault-keys. Started by the test `the_official_python_sdk_finds_azure_here`, which
gives the addresses as one JSON argument.
"""

import json
import os
import socket
import sys

SETTINGS = json.loads(sys.argv[1])
os.environ["REQUESTS_CA_BUNDLE"] = SETTINGS["ca"]

# Names below localhost are loopback (RFC 6761 section 6.3), which not every system's resolver knows.
system_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, *args, **kwargs):
    if isinstance(host, str) and host.endswith(".localhost"):
        host = "127.0.0.1"
    return system_getaddrinfo(host, *args, **kwargs)


socket.getaddrinfo = getaddrinfo

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import ClientAssertionCredential, ClientSecretCredential, ManagedIdentityCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys._generated.models import KeyOperationsParameters

DEK = bytes(range(32))


def managed_identity(environment):
    """The credential reads its endpoint from the environment when it is made."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        os.environ.pop(name, None)
    os.environ.update(environment)
    return ManagedIdentityCredential(client_id=SETTINGS["identity"])


def imds():
    return managed_identity({"AZURE_POD_IDENTITY_AUTHORITY_HOST": SETTINGS["imds"]})


def app_service():
    return managed_identity(
        {"IDENTITY_ENDPOINT": SETTINGS["app_service"], "IDENTITY_HEADER": SETTINGS["app_service_header"]}
    )


def federated(identity, tenant=SETTINGS["acme_tenant"]):
    return ClientAssertionCredential(
        tenant_id=tenant,
        client_id=SETTINGS["app"],
        func=lambda: identity.get_token("api://AzureADTokenExchange/.default").token,
        authority=SETTINGS["authority"],
        disable_instance_discovery=True,
    )


def administrator():
    return ClientSecretCredential(
        tenant_id=SETTINGS["acme_tenant"],
        client_id=SETTINGS["admin"],
        client_secret=SETTINGS["admin_secret"],
        authority=SETTINGS["authority"],
        disable_instance_discovery=True,
    )


def keys(vault, credential):
    # The challenge's resource is vault.azure.net, which is not this host: verification is for the real cloud.
    return KeyClient(vault_url=vault, credential=credential, verify_challenge_resource=False, retry_total=0)


def wrap_and_unwrap(client, name):
    """By the generated client: the SDK's CryptographyClient wraps in its own process and asks the vault for nothing."""
    wire = client._client
    version = client.get_key(name).properties.version
    wrapped = wire.wrap_key(name, version, KeyOperationsParameters(algorithm="RSA-OAEP-256", value=DEK))
    assert wrapped.kid.endswith(f"/keys/{name}/{version}"), wrapped.kid
    opened = wire.unwrap_key(name, version, KeyOperationsParameters(algorithm="RSA-OAEP-256", value=wrapped.result))
    assert bytes(opened.result) == DEK
    newest = wire.wrap_key(name, "", KeyOperationsParameters(algorithm="RSA-OAEP-256", value=DEK))
    assert newest.kid == wrapped.kid
    return version, wrapped.result


def raises(kind, do, status=None):
    try:
        do()
    except kind as error:
        if status is not None:
            assert error.status_code == status, error
        return error
    raise AssertionError(f"no {kind.__name__}")


def both_identities_reach_their_keys():
    for identity in (imds(), app_service()):
        wrap_and_unwrap(keys(SETTINGS["globex_vault"], identity), "globex-cmk")
        wrap_and_unwrap(keys(SETTINGS["acme_vault"], federated(identity)), "acme-cmk")


def a_token_of_another_tenant_is_refused():
    raises(ClientAuthenticationError, lambda: keys(SETTINGS["acme_vault"], imds()).get_key("acme-cmk"), 401)


def an_unknown_tenant_is_refused():
    stranger = federated(imds(), "a0000000-0000-4000-8000-00000000ffff")
    raises(ClientAuthenticationError, lambda: stranger.get_token("https://vault.azure.net/.default"))


def the_key_of_the_proxy_is_not_its_to_change():
    client = keys(SETTINGS["acme_vault"], federated(imds()))
    refused = raises(HttpResponseError, lambda: client.update_key_properties("acme-cmk", enabled=False), 403)
    assert refused.error.innererror["code"] == "ForbiddenByRbac", refused.error


def disabling_refuses_unwrap_only():
    proxy = keys(SETTINGS["acme_vault"], federated(imds()))
    admin = keys(SETTINGS["acme_vault"], administrator())
    version, wrapped = wrap_and_unwrap(proxy, "acme-cmk")
    unwrap = lambda: proxy._client.unwrap_key(
        "acme-cmk", version, KeyOperationsParameters(algorithm="RSA-OAEP-256", value=wrapped)
    )
    assert not admin.update_key_properties("acme-cmk", version, enabled=False).properties.enabled
    assert not proxy.get_key("acme-cmk").properties.enabled
    refused = raises(HttpResponseError, unwrap, 403)
    assert refused.error.innererror["code"] == "KeyDisabled", refused.error
    proxy._client.wrap_key("acme-cmk", version, KeyOperationsParameters(algorithm="RSA-OAEP-256", value=DEK))
    admin.update_key_properties("acme-cmk", version, enabled=True)
    assert bytes(unwrap().result) == DEK


def a_key_lives_a_whole_life():
    admin = keys(SETTINGS["acme_vault"], administrator())
    first = admin.create_rsa_key("life", size=3072, tags={"of": "test"})
    assert first.key.n and len(first.key.n) == 384 and first.properties.tags == {"of": "test"}
    second = admin.create_rsa_key("life")
    third = admin.rotate_key("life")
    versions = {item.version for item in admin.list_properties_of_key_versions("life")}
    assert versions == {key.properties.version for key in (first, second, third)}
    assert admin.get_key("life").properties.version == third.properties.version
    for _ in range(25):
        admin.rotate_key("life")
    assert len(list(admin.list_properties_of_key_versions("life"))) == 28, "over two pages"
    assert {item.name for item in admin.list_properties_of_keys()} == {"acme-cmk", "life"}

    deleted = admin.begin_delete_key("life").result()
    assert deleted.recovery_id and deleted.scheduled_purge_date > deleted.deleted_date
    raises(ResourceNotFoundError, lambda: admin.get_key("life"))
    raises(HttpResponseError, lambda: admin.create_rsa_key("life"), 409)
    assert [item.name for item in admin.list_deleted_keys()] == ["life"]
    assert admin.begin_recover_deleted_key("life").result().properties.version
    admin.begin_delete_key("life").result()
    admin.purge_deleted_key("life")
    raises(ResourceNotFoundError, lambda: admin.get_deleted_key("life"))


for check in (
    both_identities_reach_their_keys,
    a_token_of_another_tenant_is_refused,
    an_unknown_tenant_is_refused,
    the_key_of_the_proxy_is_not_its_to_change,
    disabling_refuses_unwrap_only,
    a_key_lives_a_whole_life,
):
    check()
    print(f"{check.__name__}: yes", flush=True)
print("all of it passed")
