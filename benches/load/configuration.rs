//! The configuration files of what is measured: as one would run them, but for their ports.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use portcullis::dev::standin::Standin;

/// One of the many tenants.
pub(crate) fn tenant(number: usize) -> String {
    format!("tenant-{number:05}")
}

/// The access key of a tenant.
pub(crate) fn access_key(tenant: &str) -> String {
    format!("BENCH{}", tenant.to_uppercase())
}

/// The account of the origin's that Azure's containers are in.
pub(crate) const STORE_ACCOUNT: &str = "benchstore";

/// The gate's, for acme and globex and `tenants` more, half of them with either's key; over Azure's wire for acme. Logs and audit
/// as by default.
pub(crate) fn gate(standin: &Standin, origin: SocketAddr, ports: [u16; 5], tenants: usize) -> String {
    let [clear, tls, azure, azure_tls, admin] = ports;
    // Ten thousand tenants may not ask two vaults every few seconds.
    let (bound, budget) = if tenants > super::tenants::FEW {
        ("10m", 50_000)
    } else {
        ("5s", 10_000)
    };
    let mut text = format!(
        r#"dev = true

[admin]
address = "127.0.0.1:{admin}"

[[listener]]
address = "127.0.0.1:{clear}"

[[listener]]
address = "127.0.0.1:{tls}"
tls = {{ certificate = "server.pem", key = "server.key" }}

[[listener]]
address = "127.0.0.1:{azure}"
protocol = "azure"

[[listener]]
address = "127.0.0.1:{azure_tls}"
protocol = "azure"
tls = {{ certificate = "server.pem", key = "server.key" }}

[store.main]
kind = "s3"
endpoint = "http://{origin}"
region = "us-east-1"
access_key_id = "BENCHSTORE"
secret_access_key = {{ file = "secret" }}
system_container = "portcullis-system"

[store.blob]
kind = "azure"
endpoint = "http://{origin}/{STORE_ACCOUNT}"
account = "{STORE_ACCOUNT}"
account_key = {{ file = "account-key" }}

[account.acme]
store = "blob"
keys = [{{ file = "account-key" }}]

[account.acme.container.acme-files]
tenant = "acme"

[keys]
revocation_bound = "{bound}"
identity_bound = "1h"
origin_secrets = [{{ file = "origin-secret" }}]
ca_file = "{ca}"
imds_endpoint = "{imds}"
vault_budget = {budget}
entra_budget = {budget}

[identity.cross-tenant]
kind = "federated"
managed_identity = "{identity}"
app = "{app}"
authority = "{authority}"

[identity.own-tenant]
kind = "managed"
managed_identity = "{identity}"
"#,
        ca = standin.ca_file().display(),
        imds = standin.imds_endpoint(),
        identity = standin.identity_client_id(),
        app = standin.app_client_id(),
        authority = standin.authority(),
    );
    let names = (0..tenants).map(tenant);
    for (number, name) in ["acme".to_owned(), "globex".to_owned()]
        .into_iter()
        .chain(names)
        .enumerate()
    {
        let (key, identity) = match number % 2 {
            0 => {
                let entra = standin.tenant_id("acme");
                (
                    standin.key_url("acme"),
                    format!("\"cross-tenant\"\nentra_tenant = \"{entra}\""),
                )
            }
            _ => (standin.key_url("globex"), "\"own-tenant\"".to_owned()),
        };
        let access_key = access_key(&name);
        let _ = write!(
            text,
            r#"
[tenant.{name}]
key = "{key}"
identity = {identity}

[[credential]]
access_key_id = "{access_key}"
secret_access_key = {{ file = "secret" }}
tenants = ["{name}"]

[bucket.{name}-files]
tenant = "{name}"
store = "main"
"#
        );
    }
    text
}

/// nginx's, with what any guide to it as a proxy sets (HTTP/1.1 and kept connections upstream) and its defaults for the rest.
pub(crate) fn nginx(folder: &Path, origin: SocketAddr, clear: u16, tls: u16) -> String {
    let folder = folder.display();
    format!(
        r#"daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    upstream origin {{
        server {origin};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"#
    )
}
