//! The agent of Azure Arc on a connected machine: a listener of its own, which gives tokens to whoever can read its challenges
//! (learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication).

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{Method, StatusCode, request::Parts};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::dev::files::write_private;
use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::fault::Operation;
use crate::dev::standin::identity::{self, IMDS_PATH};
use crate::dev::standin::ids;
use crate::dev::standin::query::Pairs;
use crate::dev::standin::reply::Reply;
use crate::dev::standin::server;

/// A connected machine's agent. It stops when dropped.
pub struct ArcMachine {
    endpoint: String,
    challenges: PathBuf,
    task: AbortHandle,
}

/// One request to the agent.
pub struct Call {
    pub operation: Operation,
    challenges: PathBuf,
    query: Pairs,
    metadata: bool,
    shown: Option<String>,
}

impl ArcMachine {
    pub(super) async fn start(cloud: Arc<Cloud>, data: &Path) -> io::Result<Self> {
        let challenges = data.join("arc-tokens");
        std::fs::create_dir_all(&challenges)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let kind = server::Listener::Arc(challenges.clone());
        Ok(Self {
            endpoint,
            challenges,
            task: tokio::spawn(server::serve(cloud, listener, kind)).abort_handle(),
        })
    }

    /// In the place of `http://127.0.0.1:40342`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// In the place of `/var/opt/azcmagent/tokens`.
    pub fn challenges(&self) -> &Path {
        &self.challenges
    }
}

impl Drop for ArcMachine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Call {
    /// Reads a request.
    pub fn read(challenges: &Path, parts: &Parts) -> Self {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let is_token = parts.method == Method::GET && parts.uri.path() == IMDS_PATH;
        Self {
            operation: match is_token {
                true => Operation::IdentityToken,
                false => Operation::Unknown,
            },
            challenges: challenges.to_owned(),
            query: Pairs::read(parts.uri.query().unwrap_or_default()),
            metadata: header("metadata").is_some_and(|value| value.eq_ignore_ascii_case("true")),
            shown: header("authorization")
                .and_then(|value| value.strip_prefix("Basic "))
                .map(str::to_owned),
        }
    }
}

/// Decides a request. Each challenge is good for one answer.
pub fn answer(cloud: &Cloud, call: &Call) -> Reply {
    let refused = |status, error: &str| Reply::json(status, &json!({"error": error, "error_description": error}));
    if call.operation == Operation::Unknown {
        return refused(StatusCode::NOT_FOUND, "not_found");
    }
    if !call.metadata {
        return refused(StatusCode::BAD_REQUEST, "invalid_request");
    }
    let Some(shown) = &call.shown else {
        let file = call.challenges.join(format!("{}.key", ids::uuid()));
        return match write_private(&file, ids::hex32().as_bytes()) {
            Ok(()) => refused(StatusCode::UNAUTHORIZED, "unauthorized")
                .with(WWW_AUTHENTICATE, &format!("Basic realm={}", file.display())),
            Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        };
    };
    match outstanding(&call.challenges, shown) {
        Some(file) => {
            // One that can't be removed could be shown again: no harm in a stand-in.
            let _ = std::fs::remove_file(file);
            identity::machine_token(cloud, &call.query)
        }
        None => refused(StatusCode::FORBIDDEN, "forbidden"),
    }
}

fn outstanding(challenges: &Path, shown: &str) -> Option<PathBuf> {
    let mut files = std::fs::read_dir(challenges).ok()?.filter_map(Result::ok);
    files
        .find(|file| std::fs::read_to_string(file.path()).is_ok_and(|content| content == shown))
        .map(|file| file.path())
}
