//! The commands: arguments in, exit status out. No logic.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcullis::Allocator;
use portcullis::commands::{self, AzureSide, CheckOptions, DevOptions, RewrapOptions};
use portcullis::seal::KeyVersion;

#[global_allocator]
static ALLOCATOR: Allocator = portcullis::ALLOCATOR;

/// A transparent encrypting storage proxy: every tenant's objects sealed under the tenant's own key.
#[derive(Parser)]
#[command(name = "portcullis", version = commands::VERSION, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gate as the configuration says.
    Serve {
        /// The configuration file (see config/example.toml).
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Prove each tenant's set-up, from the gate's identity to a sealed object there and back, and say what to do where it fails.
    Check {
        /// The configuration file, as for `serve`.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only this tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Run everything on loopback: a directory store, a stand-in for Entra and Key Vault, and the gate with two tenants.
    Dev {
        /// Where its state lies.
        #[arg(long, value_name = "DIR", default_value = "portcullis-dev")]
        data: PathBuf,
        /// Where S3 clients connect.
        #[arg(long, value_name = "PORT", default_value_t = 9000)]
        s3_port: u16,
        /// The same over TLS.
        #[arg(long, value_name = "PORT", default_value_t = 9001)]
        s3_tls_port: u16,
        /// Health and metrics.
        #[arg(long, value_name = "PORT", default_value_t = 9900)]
        admin_port: u16,
        /// The stand-in for Entra and Key Vault.
        #[arg(long, value_name = "PORT", default_value_t = 8443)]
        vault_port: u16,
        /// The stand-in for managed identity; 0 for any free port.
        #[arg(long, value_name = "PORT", default_value_t = 0)]
        imds_port: u16,
        /// The directory store; 0 for any free port.
        #[arg(long, value_name = "PORT", default_value_t = 0)]
        store_port: u16,
        /// Serve Azure clients too, on this port, before Azurite; it is installed below the data directory on first use.
        #[arg(long, value_name = "PORT")]
        azure_port: Option<u16>,
        /// The same over TLS, where Azure's SDKs send tokens; 0 for any free port.
        #[arg(long, value_name = "PORT", default_value_t = 0, requires = "azure_port")]
        azure_tls_port: u16,
        /// An azurite-blob that is installed already.
        #[arg(long, value_name = "FILE", requires = "azure_port")]
        azurite: Option<PathBuf>,
        /// Leave the gate out: write its configuration, and let `serve` run it, as often as you like.
        #[arg(long)]
        without_gate: bool,
    },
    /// Play a customer of a running `dev`: in its vault and tenant (disable-key, enable-key, rotate-key, delete-key, recover-key, remove-role,
    /// grant-role, remove-app, install-app), or in its CipherTrust Manager (cckm-disable, cckm-enable, cckm-rotate, cckm-soft-delete,
    /// cckm-recover). An action that there is not has all of them named.
    DevCustomer {
        /// Where the running `dev` keeps its state.
        #[arg(long, value_name = "DIR", default_value = "portcullis-dev")]
        data: PathBuf,
        /// `acme` or `globex`.
        tenant: String,
        /// What the customer does.
        action: String,
    },
    /// Wrap tenants' DEKs again under the newest version of their keys, so that older ones can go. Safe beside running gates.
    Rewrap {
        /// The gate's configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only this tenant's.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// Only DEKs under this version of the key (32 hex digits).
        #[arg(long, value_name = "VERSION")]
        from: Option<KeyVersion>,
        /// DEKs under whichever older version; this is the default.
        #[arg(long, conflicts_with = "from")]
        all: bool,
        /// Look through the objects of this bucket, or of this container of an account, too, for DEKs that the keyring has lost. May
        /// be given several times.
        #[arg(long, value_name = "BUCKET|ACCOUNT/CONTAINER")]
        scan: Vec<String>,
    },
    /// Look at an audit trail: check its chains, or take a tenant's lines out of it.
    Audit {
        #[command(subcommand)]
        what: Audit,
    },
    /// Say what a stored object's bytes are, as far as they tell without a key.
    Inspect {
        /// The object's bytes, as they lie in the store.
        file: PathBuf,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Audit {
    /// Check that no line was changed, left out or put in; print where each chain ends.
    Verify {
        /// The directory that `[audit]` names.
        directory: PathBuf,
        /// The file with the key of the digests, if they have one.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// A file with what `audit key` prints, for one tenant's lines.
        #[arg(long, value_name = "FILE", conflicts_with = "key")]
        tenant_key: Option<PathBuf>,
    },
    /// Print the key of one tenant's lines, which the customer can be given: with it, an export can be verified, and no line of another's.
    Key {
        /// The file with the key that `[audit]` names.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Whose.
        #[arg(long, value_name = "NAME")]
        tenant: String,
    },
    /// Print a tenant's lines, the oldest first.
    Export {
        /// The directory that `[audit]` names.
        directory: PathBuf,
        /// Whose.
        #[arg(long, value_name = "NAME")]
        tenant: String,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve { config } => commands::serve(&config),
        Command::Check { config, tenant, json } => commands::check(&CheckOptions {
            config: &config,
            tenant: tenant.as_deref(),
            json,
        }),
        Command::Dev {
            data,
            s3_port,
            s3_tls_port,
            admin_port,
            vault_port,
            imds_port,
            store_port,
            azure_port,
            azure_tls_port,
            azurite,
            without_gate,
        } => commands::dev(DevOptions {
            data,
            s3_port,
            s3_tls_port,
            admin_port,
            vault_port,
            imds_port,
            store_port,
            azure: azure_port.map(|port| AzureSide {
                port,
                tls_port: azure_tls_port,
                program: azurite,
            }),
            gate: !without_gate,
        }),
        Command::DevCustomer { data, tenant, action } => commands::customer(&data, &tenant, &action),
        Command::Rewrap {
            config,
            tenant,
            from,
            all: _,
            scan,
        } => commands::rewrap(&RewrapOptions {
            config: &config,
            tenant: tenant.as_deref(),
            from,
            scan: &scan,
        }),
        Command::Audit {
            what:
                Audit::Verify {
                    directory,
                    key,
                    tenant_key,
                },
        } => commands::verify_audit(&directory, key.as_deref(), tenant_key.as_deref()),
        Command::Audit {
            what: Audit::Key { key, tenant },
        } => commands::audit_key(&key, &tenant),
        Command::Audit {
            what: Audit::Export { directory, tenant },
        } => commands::export_audit(&directory, &tenant),
        Command::Inspect { file, json } => commands::inspect(&file, json),
    };
    outcome.into()
}
