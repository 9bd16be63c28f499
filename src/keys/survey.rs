//! What `portcullis check` asks of a vault beyond what a lease needs: whether it is there at all, and whether the gate may do more
//! than it should. All of it reads; nothing is changed in the vault, and no lease depends on it.

use std::time::SystemTime;

use azure_core::http::headers::HeaderName;
use azure_core::http::{Context, Method, Request, Url};
use futures_util::StreamExt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::keys::classify::VaultOp;
use crate::keys::refusal::{Blocked, IdentityFault, Refusal, Revoked, Service, Unavailable};
use crate::keys::transport::Seen;
use crate::keys::vault::{Session, Vault, challenged_tenant};

/// Any version of the API that every vault knows: an unauthenticated request is told the challenge before it is looked at.
const API_VERSION: &str = "7.4";

/// What a vault says to somebody without a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// The HTTP status: 401 from every vault.
    pub status: u16,
    /// The vault's clock, to the second (`Date`).
    pub date: Option<SystemTime>,
    /// The Entra tenant that it trusts, by its challenge.
    pub tenant: Option<String>,
}

/// Something that the gate may do and does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// It may list the vault's keys: its role is on the whole vault instead of the key.
    WholeVault,
    /// It may look at deleted keys, which only those may who manage keys.
    DeletedKeys,
    /// It may read the key's rotation policy, as 'Key Vault Crypto Officer' may.
    RotationPolicy,
}

impl Vault {
    /// Asks for the key without a token: name resolution, TLS and HTTP are proved by any answer.
    ///
    /// # Errors
    /// No answer came, and why.
    pub async fn knock(&self) -> Result<Knock, Refusal> {
        let url = format!("{}?api-version={API_VERSION}", self.key().versionless());
        let url = Url::parse(&url).map_err(|_| Refusal::from(Blocked::OtherHost))?;
        let options = self.transport.options(Service::Vault, Some(self.key().vault()));
        let transport = options.transport.ok_or(IdentityFault::Unusable)?;
        let asked = async {
            let mut request = Request::new(url, Method::Get);
            transport.send(&Context::new(), &mut request).await
        };
        let answer = self.transport.observe(asked).await.map_err(|seen| match seen {
            Seen::Refused(refusal) => refusal,
            Seen::Asking(by) => Unavailable::Timeout { by }.into(),
            Seen::Nothing | Seen::Answer(..) => Unavailable::Unreachable { by: Service::Vault }.into(),
        })?;
        let text = |name: &'static str| answer.headers().get_optional_string(&HeaderName::from_static(name));
        Ok(Knock {
            status: answer.status().into(),
            date: text("date").and_then(|date| http_date(&date)),
            tenant: text("www-authenticate").and_then(|challenge| challenged_tenant(&challenge)),
        })
    }

    /// Tries what the role 'Key Vault Crypto Service Encryption User' on the key alone does not permit. Three reads: what the
    /// vault does not clearly permit counts as not permitted.
    pub async fn excess(&self, session: &Session) -> Vec<Excess> {
        let name = self.key().name();
        let listing = async {
            let mut pages = session.client.list_key_properties(None)?.into_pages();
            pages.next().await.transpose()
        };
        let listed = self.ask(VaultOp::Get, listing).await.map(drop);
        let deleted = self.ask(VaultOp::Get, session.client.get_deleted_key(name, None)).await;
        let policy = session.client.get_key_rotation_policy(name, None);
        let policy = self.ask(VaultOp::Get, policy).await.map(drop);
        [
            (Excess::WholeVault, permitted(&listed)),
            (Excess::DeletedKeys, permitted(&deleted.map(drop))),
            // Every key has one: without the right, or where the API is too old for it, there is no success.
            (Excess::RotationPolicy, policy.is_ok()),
        ]
        .into_iter()
        .filter_map(|(excess, permitted)| permitted.then_some(excess))
        .collect()
    }
}

/// Whether the question itself was allowed: that there is no such thing is said only to those who may ask.
fn permitted(answer: &Result<(), Refusal>) -> bool {
    matches!(answer, Ok(()) | Err(Refusal::Revoked(Revoked::KeyNotFound)))
}

/// A `Date` header (RFC 9110 section 5.6.7).
pub fn http_date(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc2822).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_date_is_read() {
        let date = http_date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(UNIX_EPOCH + Duration::from_secs(784_111_777)));
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn only_a_clear_yes_is_a_right_too_many() {
        assert!(permitted(&Ok(())));
        assert!(permitted(&Err(Revoked::KeyNotFound.into())));
        for refusal in [
            Revoked::RoleMissing.into(),
            Unavailable::Timeout { by: Service::Vault }.into(),
        ] {
            assert!(!permitted(&Err(refusal)));
        }
    }
}
