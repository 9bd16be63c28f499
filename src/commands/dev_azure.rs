//! The Azure side of `portcullis dev`: its store, its part of the configuration, and what it tells the shell.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::dev::azurite::{Azurite, AzuriteError};

/// What is asked of it.
#[derive(Clone)]
pub struct AzureSide {
    /// Where Azure clients connect.
    pub port: u16,
    /// An Azurite that is installed already.
    pub program: Option<PathBuf>,
}

/// What is running of it.
pub(super) struct Running {
    port: u16,
    azurite: Azurite,
    /// Tenant, the account's key to clients, and its key at the store.
    accounts: Vec<(&'static str, String, String)>,
}

impl Running {
    /// Starts the store, with one account a tenant.
    pub(super) fn start(
        side: &AzureSide,
        data: &Path,
        accounts: Vec<(&'static str, String, String)>,
    ) -> Result<Self, AzuriteError> {
        let upstream: Vec<(&str, &str)> = accounts
            .iter()
            .map(|(tenant, _, key)| (*tenant, key.as_str()))
            .collect();
        Ok(Self {
            port: side.port,
            azurite: Azurite::start(data, side.program.as_deref(), &upstream)?,
            accounts,
        })
    }

    fn store(&self) -> SocketAddr {
        self.azurite.address()
    }

    /// Its part of the configuration file.
    pub(super) fn configuration(&self) -> String {
        let mut text = format!(
            "\n# Azure Blob: an account a tenant, before Azurite.\n[[listener]]\naddress = \"127.0.0.1:{}\"\nprotocol = \"azure\"\n",
            self.port
        );
        for (tenant, _, _) in &self.accounts {
            let _ = write!(
                text,
                r#"
[store.{tenant}-blob]
kind = "azure"
endpoint = "http://{store}/{tenant}"
account = "{tenant}"
account_key = {{ file = "secrets/{tenant}-azurite" }}

[account.{tenant}]
store = "{tenant}-blob"
keys = [{{ file = "secrets/{tenant}-azure" }}]

[account.{tenant}.container."*"]
tenant = "{tenant}"
"#,
                store = self.store(),
            );
        }
        text
    }

    /// Its lines of `dev.env`.
    pub(super) fn shell_lines(&self) -> String {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let mut text = format!(
            "AZURE_BLOB_ENDPOINT={endpoint}\nAZURITE_ENDPOINT=http://{}\n",
            self.store()
        );
        for (tenant, key, upstream) in &self.accounts {
            let name = tenant.to_uppercase();
            let connection = |key: &str, endpoint: &str| {
                format!(
                    "'DefaultEndpointsProtocol=http;AccountName={tenant};AccountKey={key};BlobEndpoint={endpoint}/{tenant};'"
                )
            };
            let store = format!("http://{}", self.store());
            let _ = write!(
                text,
                "{name}_AZURE_CONNECTION_STRING={}\n{name}_AZURITE_CONNECTION_STRING={}\n",
                connection(key, &endpoint),
                connection(upstream, &store),
            );
        }
        text
    }

    /// What a user is told.
    pub(super) fn line(&self) -> String {
        format!(
            "  Azure     http://127.0.0.1:{}   (an account a tenant; the store is Azurite)\n",
            self.port
        )
    }
}
