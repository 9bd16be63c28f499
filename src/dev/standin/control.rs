//! The control endpoint, `POST /stand-in/customers/{customer}/{action}`, and its client: how `portcullis dev-customer`, another
//! process, plays the customer of a running stand-in. The stand-in for CipherTrust Manager has one of its own, below its own directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::dev::files::write_private;
use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::customer::{Action, ActionError, Customer};
use crate::dev::standin::reply::Reply;

/// Where a running stand-in says how to reach it.
const FILE: &str = "standin.json";

/// What [`FILE`] holds (0600: it has the bearer secret of this run).
#[derive(Serialize, Deserialize)]
struct Contact {
    url: String,
    ca: PathBuf,
    token: String,
}

/// Why nothing was changed, or why that is not known.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no stand-in runs on {dir}: start `portcullis dev` first", dir = dir.display())]
    NotRunning { dir: PathBuf },
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path} is not a stand-in's: {source}", path = path.display())]
    NotAContact { path: PathBuf, source: serde_json::Error },
    #[error("the stand-in does not answer: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("{reason}")]
    Refused { status: u16, reason: String },
}

/// Does `action` as `customer` of the stand-in that runs on `data`, and returns what changed once the change is in force.
pub async fn act(data: &Path, customer: &str, action: &str) -> Result<String, ControlError> {
    let contact = read_contact(data)?;
    let ca = fs::read(&contact.ca).map_err(|source| ControlError::File {
        path: contact.ca.clone(),
        source,
    })?;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&ca)?])
        .no_proxy()
        .build()?;
    let url = format!("{}/stand-in/customers/{customer}/{action}", contact.url);
    let sent = client
        .post(url)
        .header(AUTHORIZATION, format!("Bearer {}", contact.token))
        .send()
        .await;
    let response = sent.map_err(|error| match error.is_connect() {
        true => ControlError::NotRunning { dir: data.to_owned() },
        false => ControlError::Unreachable(error),
    })?;
    let status = response.status().as_u16();
    let body = response.bytes().await?;
    let said = |name: &str| {
        let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        json.and_then(|json| json.get(name)?.as_str().map(str::to_owned))
    };
    match (status, said("changed")) {
        (200, Some(changed)) => Ok(changed),
        _ => {
            let reason = said("error").unwrap_or_else(|| format!("the stand-in answered {status}"));
            Err(ControlError::Refused { status, reason })
        }
    }
}

/// Leaves word in `data` of how to reach the stand-in on `port`, and of the secret that it asks for.
pub(in crate::dev) fn write_contact(data: &Path, port: u16, token: &str, ca: &Path) -> io::Result<()> {
    let contact = Contact {
        url: format!("https://127.0.0.1:{port}"),
        ca: ca.to_owned(),
        token: token.to_owned(),
    };
    write_private(&data.join(FILE), &serde_json::to_vec_pretty(&contact)?)
}

/// One request to a control endpoint.
pub(in crate::dev) struct Call {
    target: Option<(String, String)>,
    bearer: String,
}

impl Call {
    pub(in crate::dev) fn read(parts: &Parts) -> Self {
        let segments: Vec<&str> = parts
            .uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let target = match (&parts.method, segments.as_slice()) {
            (&Method::POST, ["stand-in", "customers", customer, action]) => {
                Some(((*customer).to_owned(), (*action).to_owned()))
            }
            _ => None,
        };
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = header
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default()
            .to_owned();
        Self { target, bearer }
    }
}

/// Does what the call asks for.
pub(super) fn answer(cloud: &Arc<Cloud>, call: &Call) -> Reply {
    let act = |customer: &str, action: &str| {
        let action = action.parse::<Action>()?;
        Customer::new(Arc::clone(cloud), customer).act(action)
    };
    carry_out(call, &cloud.control_token, act)
}

/// Has `act` do for a customer what the call asks for, if it shows `token`; `act` says what changed.
pub(in crate::dev) fn carry_out(
    call: &Call,
    token: &str,
    act: impl FnOnce(&str, &str) -> Result<String, ActionError>,
) -> Reply {
    let refused = |status, reason: &str| Reply::json(status, &json!({"error": reason}));
    let (shown, secret) = (call.bearer.as_bytes(), token.as_bytes());
    if aws_lc_rs::constant_time::verify_slices_are_equal(shown, secret).is_err() {
        return refused(
            StatusCode::UNAUTHORIZED,
            "the bearer secret is in standin.json, and new at every start",
        );
    }
    let Some((customer, action)) = &call.target else {
        return refused(
            StatusCode::NOT_FOUND,
            "there is POST /stand-in/customers/{customer}/{action}, and nothing else",
        );
    };
    match act(customer, action) {
        Ok(changed) => Reply::json(StatusCode::OK, &json!({"changed": changed})),
        Err(error) => refused(status(&error), &error.to_string()),
    }
}

fn status(error: &ActionError) -> StatusCode {
    match error {
        ActionError::UnknownCustomer(_) | ActionError::UnknownAction { .. } => StatusCode::NOT_FOUND,
        ActionError::KeyDeleted(_)
        | ActionError::KeyNotDeleted(_)
        | ActionError::KeyMissing(_)
        | ActionError::NoApp(_) => StatusCode::CONFLICT,
        ActionError::World(_) | ActionError::Rsa(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn read_contact(data: &Path) -> Result<Contact, ControlError> {
    let path = data.join(FILE);
    let bytes = fs::read(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ControlError::NotRunning { dir: data.to_owned() },
        _ => ControlError::File {
            path: path.clone(),
            source,
        },
    })?;
    serde_json::from_slice(&bytes).map_err(|source| ControlError::NotAContact { path, source })
}
