//! The identity of a server that is connected to Azure by Azure Arc, given by the agent on it
//! (learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication).
//!
//! `azure_identity` 1.0 refuses such hosts. The agent answers a first question with the name of a file that only root and the group
//! `himds` can read; who can show what is in it is given a token. Only the machine's own, system-assigned identity is there, which
//! can't vouch for an application: Entra takes user-assigned ones only.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::headers::HeaderName;
use azure_core::http::{AsyncRawResponse, Context, Method, Request, Url};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

use crate::keys::refusal::{IdentityFault, Service};
use crate::keys::transport::{Transport, refuse};

/// The agent's API.
const API_VERSION: &str = "2020-06-01";
/// The longest content of a challenge's file, in bytes, as in Microsoft's own SDKs.
const LONGEST: u64 = 4096;

/// Where the Azure Connected Machine agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArcAgent {
    /// Its origin, plain http on this machine.
    pub endpoint: Url,
    /// The only directory whose files it may ask to see.
    pub challenges: PathBuf,
}

impl ArcAgent {
    /// The agent's own port (`IDENTITY_ENDPOINT`, which an installation does not change).
    pub const ENDPOINT: &str = "http://127.0.0.1:40342";
    /// Where the agent of Linux keeps its challenges.
    pub const CHALLENGES: &str = "/var/opt/azcmagent/tokens";
}

/// The machine's identity, asked through the gate's own client.
#[derive(Debug)]
pub(super) struct ArcCredential {
    pub(super) agent: ArcAgent,
    pub(super) transport: Transport,
}

/// What the agent gives. Numbers are strings here, as in IMDS.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_on: String,
}

#[async_trait]
impl TokenCredential for ArcCredential {
    async fn get_token(&self, scopes: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let scope = scopes.first().copied().unwrap_or_default();
        let mut url = self.agent.endpoint.clone();
        url.set_path("/metadata/identity/oauth2/token");
        url.query_pairs_mut()
            .append_pair("api-version", API_VERSION)
            .append_pair("resource", scope.strip_suffix("/.default").unwrap_or(scope));
        let first = self.ask(&url, None).await?;
        let answer = match challenge(&first) {
            Some(file) => self.ask(&url, Some(&self.shown(Path::new(&file)).await?)).await?,
            None => first,
        };
        let unusable = || azure_core::Error::with_message(ErrorKind::Credential, "the agent gave no token");
        if !answer.status().is_success() {
            return Err(unusable());
        }
        let answer = answer.try_into_raw_response().await?;
        let token: Token = serde_json::from_slice(answer.body()).map_err(|_| unusable())?;
        let expires = token.expires_on.parse().ok();
        let expires = expires.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        Ok(AccessToken::new(token.access_token, expires.ok_or_else(unusable)?))
    }
}

impl ArcCredential {
    async fn ask(&self, url: &Url, shown: Option<&str>) -> azure_core::Result<AsyncRawResponse> {
        let origin = self.agent.endpoint.origin().ascii_serialization();
        let options = self.transport.options(Service::Identity, Some(&origin));
        let http = options
            .transport
            .ok_or_else(|| refuse(IdentityFault::Unusable.into()))?;
        let mut request = Request::new(url.clone(), Method::Get);
        request.insert_header("metadata", "true");
        if let Some(shown) = shown {
            request.insert_header("authorization", format!("Basic {shown}"));
        }
        http.send(&Context::new(), &mut request).await
    }

    /// What is in a challenge's file. Whoever answers at the agent's port must not have other files read to it.
    async fn shown(&self, file: &Path) -> azure_core::Result<Zeroizing<String>> {
        let fault = || refuse(IdentityFault::ArcChallenge.into());
        let expected = file.parent() == Some(self.agent.challenges.as_path())
            && file.extension().is_some_and(|extension| extension == "key");
        if !expected {
            return Err(fault());
        }
        let opened = tokio::fs::File::open(file).await.map_err(|_| fault())?;
        let mut content = Zeroizing::new(String::new());
        let read = opened.take(LONGEST + 1).read_to_string(&mut content).await;
        match read {
            Ok(1..) if content.len() as u64 <= LONGEST && content.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(content)
            }
            _ => Err(fault()),
        }
    }
}

/// The file that the agent wants to see: `WWW-Authenticate: Basic realm=/var/opt/azcmagent/tokens/….key`.
fn challenge(answer: &AsyncRawResponse) -> Option<String> {
    if u16::from(answer.status()) != 401 {
        return None;
    }
    let header = answer
        .headers()
        .get_optional_string(&HeaderName::from_static("www-authenticate"))?;
    let file = header.strip_prefix("Basic realm=")?.trim().trim_matches('"');
    Some(file.to_owned())
}
