//! What `portcullis dev` writes: the gate's configuration, the shell's variables, and what to try.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::commands::dev::{CCKM_TENANT, CCKM_USER, DevOptions, REGION, STORE_ACCESS_KEY, SYSTEM_CONTAINER, TENANTS};
use crate::dev::cckm::Cckm;
use crate::dev::standin::Standin;

/// The configuration of the gate, as `portcullis serve --config` would take it.
pub(super) fn configuration(options: &DevOptions, standin: &Standin, cckm: &Cckm, store: SocketAddr) -> String {
    let mut text = format!(
        r#"# Written by `portcullis dev` at every start.
dev = true

[log]
format = "text"
filter = "info"

{audit}[admin]
address = "127.0.0.1:{admin}"

[[listener]]
address = "127.0.0.1:{s3}"

[[listener]]
address = "127.0.0.1:{s3_tls}"
tls = {{ certificate = "gate.pem", key = "gate.key" }}

[store.main]
kind = "s3"
endpoint = "http://{store}"
region = "{REGION}"
access_key_id = "{STORE_ACCESS_KEY}"
secret_access_key = {{ file = "secrets/store" }}
system_container = "{SYSTEM_CONTAINER}"

[keys]
revocation_bound = "5s"
identity_bound = "60s"
origin_secrets = [{{ file = "secrets/origin" }}]
ca_file = "{ca}"
imds_endpoint = "{imds}"

# The customer's key in the customer's vault and tenant: managed identity, federated to a multitenant application.
[identity.cross-tenant]
kind = "federated"
managed_identity = "{identity}"
app = "{app}"
authority = "{authority}"

# The customer's key in the ISV's own vault.
[identity.own-tenant]
kind = "managed"
managed_identity = "{identity}"

[tenant.acme]
key = "{acme}"
identity = "cross-tenant"
entra_tenant = "{acme_tenant}"

[tenant.globex]
key = "{globex}"
identity = "own-tenant"

# {CCKM_TENANT}'s CipherTrust Manager, which manages its key. It is asked, and decides nothing.
[cckm.ciphertrust]
endpoint = "{cckm}"
username = "{CCKM_USER}"
password = {{ file = "secrets/cckm" }}
ca_file = "{ca}"
interval = "10s"
tenants = ["{CCKM_TENANT}"]
"#,
        // Gates that share a configuration can't share a trail.
        audit = if options.gate {
            "[audit]\ndirectory = \"audit\"\n\n"
        } else {
            ""
        },
        admin = options.admin_port,
        s3 = options.s3_port,
        s3_tls = options.s3_tls_port,
        ca = standin.ca_file().display(),
        imds = standin.imds_endpoint(),
        identity = standin.identity_client_id(),
        app = standin.app_client_id(),
        authority = standin.authority(),
        acme = standin.key_url("acme"),
        acme_tenant = standin.tenant_id("acme"),
        globex = standin.key_url("globex"),
        cckm = cckm.endpoint(),
    );
    for (tenant, bucket, access_key) in TENANTS {
        let _ = write!(
            text,
            r#"
[[credential]]
access_key_id = "{access_key}"
secret_access_key = {{ file = "secrets/{tenant}" }}
tenants = ["{tenant}"]

[bucket.{bucket}]
tenant = "{tenant}"
store = "main"
"#
        );
    }
    text
}

pub(super) fn shell_lines(options: &DevOptions, data: &Path, standin: &Standin, keys: &[String]) -> String {
    let mut text = format!(
        "S3_ENDPOINT=http://127.0.0.1:{}\nS3_TLS_ENDPOINT=https://127.0.0.1:{}\nADMIN_ENDPOINT=http://127.0.0.1:{}\n\
         VAULT_ENDPOINT=https://localhost:{}\nCA_FILE={}\nSTORE_DIR={}\nAWS_REGION={REGION}\n",
        options.s3_port,
        options.s3_tls_port,
        options.admin_port,
        options.vault_port,
        quoted(standin.ca_file()),
        quoted(&data.join("store").join("objects")),
    );
    for ((tenant, bucket, access_key), secret) in TENANTS.iter().zip(keys) {
        let tenant = tenant.to_uppercase();
        let _ = write!(
            text,
            "{tenant}_ACCESS_KEY_ID={access_key}\n{tenant}_SECRET_ACCESS_KEY={secret}\n{tenant}_BUCKET={bucket}\n"
        );
    }
    text
}

/// A path as a shell reads it; bare where it needs no quotes.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@:,".contains(&byte));
    if plain {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

pub(super) fn what_to_serve(options: &DevOptions, store: SocketAddr, file: &Path) -> String {
    format!(
        r#"
Everything but the gate is running.

  store     http://{store}
  vault     https://localhost:{vault}   (a stand-in for Entra and Key Vault)

  portcullis serve --config {file}
"#,
        vault = options.vault_port,
        file = quoted(file),
    )
}

pub(super) fn what_to_try(options: &DevOptions, environment: &Path, azure: &str) -> String {
    let data = if options.data == Path::new("portcullis-dev") {
        String::new()
    } else {
        format!(" --data {}", quoted(&options.data))
    };
    // `cargo run` puts it into no PATH.
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("portcullis"));
    format!(
        r#"
Portcullis is running.

  S3        http://127.0.0.1:{s3}   https://127.0.0.1:{s3_tls}
{azure}  admin     http://127.0.0.1:{admin}/metrics
  vault     https://localhost:{vault}   (a stand-in for Entra and Key Vault)

Two tenants: acme (its key in its own vault, reached across tenants) and globex (its key in the ISV's vault). In another terminal:

  set -a; . {environment}; set +a
  export AWS_ACCESS_KEY_ID=$ACME_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY=$ACME_SECRET_ACCESS_KEY AWS_ENDPOINT_URL=$S3_ENDPOINT

  aws s3api put-object --bucket $ACME_BUCKET --key hello.txt --body README.md
  aws s3 ls s3://$ACME_BUCKET                     # the plaintext's size
  ls -l $STORE_DIR/$ACME_BUCKET                    # what the store holds: sealed
  {program} inspect $STORE_DIR/$ACME_BUCKET/hello.txt
  aws s3 cp s3://$ACME_BUCKET/hello.txt -

The customer says no, and within 5 seconds nothing of acme's is sealed or opened any more:

  {program} dev-customer{data} acme disable-key
  aws s3 cp s3://$ACME_BUCKET/hello.txt -          # KMS.DisabledException; globex is not affected
  {program} dev-customer{data} acme enable-key

The same from CipherTrust Manager, which manages acme's key (a stand-in too), and what the gate knows of it:

  {program} dev-customer{data} acme cckm-disable
  curl http://127.0.0.1:{admin}/cckm
  {program} dev-customer{data} acme cckm-enable
"#,
        program = quoted(&program),
        s3 = options.s3_port,
        s3_tls = options.s3_tls_port,
        admin = options.admin_port,
        vault = options.vault_port,
        environment = quoted(environment),
    )
}
