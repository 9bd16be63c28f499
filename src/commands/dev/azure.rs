//! The Azure side of `portcullis dev`: its store, its part of the configuration, and what it tells the shell.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::dev::azurite::{Azurite, AzuriteError};
use crate::dev::standin::{ISV_TENANT, IsvApplication};

/// What is asked of it.
#[derive(Clone)]
pub struct AzureSide {
    /// Where Azure clients connect.
    pub port: u16,
    /// The same over TLS; 0 for any free one. SDKs send tokens nowhere else.
    pub tls_port: u16,
    /// An Azurite that is installed already.
    pub program: Option<PathBuf>,
}

/// One tenant's account.
pub(super) struct Account {
    pub(super) tenant: &'static str,
    /// Its key to clients.
    pub(super) key: String,
    /// Its key at the store.
    pub(super) upstream: String,
    /// Who may write, and who may only read, with tokens of Entra's.
    pub(super) writer: IsvApplication,
    pub(super) reader: IsvApplication,
}

/// What is running of it.
pub(super) struct Running {
    port: u16,
    tls_port: u16,
    azurite: Azurite,
    accounts: Vec<Account>,
    /// Where tokens come from.
    authority: String,
}

impl Running {
    /// Starts the store, with one account a tenant.
    pub(super) fn start(
        side: &AzureSide,
        data: &Path,
        accounts: Vec<Account>,
        authority: String,
    ) -> Result<Self, AzuriteError> {
        let upstream: Vec<(&str, &str)> = accounts
            .iter()
            .map(|account| (account.tenant, account.upstream.as_str()))
            .collect();
        let azurite = Azurite::start(data, side.program.as_deref(), &upstream)?;
        // Last, since it is free only for a moment: the gate binds it next.
        let tls_port = match side.tls_port {
            0 => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port(),
            port => port,
        };
        Ok(Self {
            port: side.port,
            tls_port,
            azurite,
            accounts,
            authority,
        })
    }

    fn store(&self) -> SocketAddr {
        self.azurite.address()
    }

    /// Its part of the configuration file.
    pub(super) fn configuration(&self) -> String {
        let mut text = format!(
            "\n# Azure Blob: an account a tenant, before Azurite.\n[[listener]]\naddress = \"127.0.0.1:{}\"\nprotocol = \"azure\"\n\n\
             [[listener]]\naddress = \"127.0.0.1:{}\"\nprotocol = \"azure\"\ntls = {{ certificate = \"gate.pem\", key = \"gate.key\" }}\n",
            self.port, self.tls_port
        );
        for account in &self.accounts {
            let tenant = account.tenant;
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

[account.{tenant}.entra]
tenant = "{ISV_TENANT}"
authority = "{authority}"
contributors = ["{writer}"]
readers = ["{reader}"]

[account.{tenant}.container."*"]
tenant = "{tenant}"
"#,
                store = self.store(),
                authority = self.authority,
                writer = account.writer.object_id,
                reader = account.reader.client_id,
            );
        }
        text
    }

    /// Its lines of `dev.env`.
    pub(super) fn shell_lines(&self) -> String {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let mut text = format!(
            "AZURE_BLOB_ENDPOINT={endpoint}\nAZURE_BLOB_TLS_ENDPOINT=https://127.0.0.1:{}\nAZURITE_ENDPOINT=http://{}\n\
             ENTRA_AUTHORITY={}\nENTRA_TENANT={ISV_TENANT}\n",
            self.tls_port,
            self.store(),
            self.authority,
        );
        for account in &self.accounts {
            let (tenant, key, upstream) = (account.tenant, &account.key, &account.upstream);
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
            for (role, application) in [("", &account.writer), ("READER_", &account.reader)] {
                let _ = write!(
                    text,
                    "{name}_AZURE_{role}CLIENT_ID={}\n{name}_AZURE_{role}CLIENT_SECRET={}\n",
                    application.client_id,
                    application.secret(),
                );
            }
        }
        text
    }

    /// What a user is told.
    pub(super) fn line(&self) -> String {
        format!(
            "  Azure     http://127.0.0.1:{}   https://127.0.0.1:{}   (an account a tenant; the store is Azurite)\n",
            self.port, self.tls_port
        )
    }
}
