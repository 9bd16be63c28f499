//! Where a copy comes from: a blob of this gate, which the client may read. What lies elsewhere is not fetched: a gate that went
//! wherever a client says would reach what only the gate can.

use http::header::HOST;
use http::request::Parts;
use http::{Method, Request, StatusCode, Uri};

use crate::azure::account::Container;
use crate::azure::address::Address;
use crate::azure::auth::{self, AuthError, Reach};
use crate::azure::error::AzureError;
use crate::azure::exchange::Exchange;
use crate::azure::headers;
use crate::azure::operation::Operation;
use crate::tenant::{Denied, Within};

/// The conditions of a source, and what they are of a blob itself.
const CONDITIONS: [(&str, &str); 6] = [
    ("x-ms-source-if-match", "if-match"),
    ("x-ms-source-if-none-match", "if-none-match"),
    ("x-ms-source-if-modified-since", "if-modified-since"),
    ("x-ms-source-if-unmodified-since", "if-unmodified-since"),
    ("x-ms-source-if-tags", "x-ms-if-tags"),
    ("x-ms-source-lease-id", "x-ms-lease-id"),
];

/// A source that its client may read.
pub struct Origin {
    parts: Parts,
    /// What it is.
    pub address: Address,
    /// Where it lies.
    pub container: Container,
}

impl Origin {
    /// Finds the source that a request names, and verifies that its client may read it: with the account's key, with a token
    /// for the source, or with a SAS in its URL.
    ///
    /// # Errors
    /// It is not on this gate, or not the client's to read.
    pub async fn of(exchange: &Exchange<'_>) -> Result<Self, AzureError> {
        const NAME: &str = "x-ms-copy-source";
        let client = exchange.client();
        let url = client.get(NAME).and_then(|value| value.to_str().ok());
        let url: Uri = url
            .and_then(|url| url.parse().ok())
            .ok_or(AzureError::InvalidHeader { name: NAME })?;
        let elsewhere = AzureError::CopySource {
            status: StatusCode::FORBIDDEN,
        };
        let here =
            url.authority().map(http::uri::Authority::as_str) == client.get(HOST).and_then(|host| host.to_str().ok());
        let address = Address::of_url(&url, exchange.accounts).ok_or_else(|| elsewhere.clone())?;
        if (address.path_style && !here) || address.blob.is_empty() {
            return Err(elsewhere);
        }
        let container = address
            .account
            .container(&address.container, Within::Key(&address.blob))
            .map_err(|denied| match denied {
                Denied::UnknownContainer => AzureError::CopySource {
                    status: StatusCode::NOT_FOUND,
                },
                Denied::OtherTenant | Denied::OutsidePrefix | Denied::NotAnonymous => elsewhere.clone(),
            })?;
        let mut request = Request::builder().method(Method::GET).uri(url.clone());
        for (theirs, own) in CONDITIONS {
            if let Some(value) = client.get(theirs) {
                request = request.header(own, value.clone());
            }
        }
        let (mut parts, ()) = request
            .body(())
            .map_err(|_| AzureError::InvalidHeader { name: NAME })?
            .into_parts();
        headers::copy(client, &mut parts.headers, &["x-ms-version", "x-ms-client-request-id"]);
        let origin = Self {
            parts,
            address,
            container,
        };
        origin.permit(exchange).await.map_err(|error| match error {
            // Whether it may is not known.
            AzureError::Auth(AuthError::Unsure) => AuthError::Unsure.into(),
            AzureError::Auth(_) => elsewhere,
            other => other,
        })?;
        Ok(origin)
    }

    async fn permit(&self, exchange: &Exchange<'_>) -> Result<(), AzureError> {
        if exchange.asker.by_key && self.address.account.name == exchange.address.account.name {
            return Ok(());
        }
        let asker = &exchange.asker;
        let verified = match exchange.client().get("x-ms-copy-source-authorization") {
            None => auth::verify_sas_of(&self.address, &self.parts.headers)?,
            Some(token) => auth::verify_token_of(&self.address, token, asker.clear, asker.now).await?,
        };
        let policy = match verified.policy() {
            Some(id) => {
                exchange
                    .policies
                    .get(&self.address.account.name, &self.container, id)
                    .await?
            }
            None => None,
        };
        verified.authorize(
            Operation::GetBlob,
            &self.address,
            policy.as_ref(),
            asker.peer,
            asker.secure,
            asker.now,
        )?;
        Ok(())
    }

    /// Whether it is the very blob that a request is about, and no snapshot or version of it.
    pub fn is_at(&self, exchange: &Exchange<'_>) -> bool {
        let (one, other) = (&self.container, exchange.container);
        one.store.is_one_with(&other.store)
            && (&one.name, &self.address.blob) == (&other.name, &exchange.address.blob)
            && self.exchange(exchange).version_query().is_empty()
    }

    /// The same as a request about the source itself.
    pub fn exchange<'a>(&'a self, of: &Exchange<'a>) -> Exchange<'a> {
        Exchange {
            parts: &self.parts,
            address: &self.address,
            container: &self.container,
            reach: Reach::Full,
            keyless: false,
            accounts: of.accounts,
            layouts: of.layouts,
            policies: of.policies,
            asker: of.asker,
            keys: of.keys,
        }
    }
}

/// A condition on the source that does not hold is told as one.
pub fn as_source(error: AzureError) -> AzureError {
    match error {
        AzureError::Store {
            status: StatusCode::PRECONDITION_FAILED,
            code,
            ..
        } if code == "ConditionNotMet" => AzureError::SourceConditionNotMet,
        other => other,
    }
}
