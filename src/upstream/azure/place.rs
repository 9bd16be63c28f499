//! Where a store is, and whether that is where another one is.

use http::uri::{Authority, Scheme};

/// Where a store is.
pub(super) struct Place {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) path_style: bool,
    pub(super) account: String,
    pub(super) system_container: Option<String>,
}

impl Place {
    /// Whether this is the very account that is there too. Names of hosts are compared as they are written, and the scheme is not: the
    /// service has one account behind both.
    pub(super) fn is_one_with(&self, other: &Self) -> bool {
        let [one, other] = [self, other].map(|place| {
            let own = if place.scheme == Scheme::HTTPS { 443 } else { 80 };
            // 80 and 443 are two doors of one house.
            let port = place.authority.port_u16().filter(|port| *port != own);
            (place.authority.host().to_ascii_lowercase(), port, &place.account)
        });
        one == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_is_known_by_endpoint_and_name() {
        let at = |scheme: Scheme, authority: &'static str, account: &str| Place {
            scheme,
            authority: Authority::from_static(authority),
            path_style: false,
            account: account.into(),
            system_container: None,
        };
        let one = at(Scheme::HTTPS, "acct.blob.core.windows.net", "acct");
        for (scheme, authority, account, is) in [
            (Scheme::HTTPS, "acct.blob.core.windows.net", "acct", true),
            (Scheme::HTTPS, "ACCT.blob.core.windows.net:443", "acct", true),
            (Scheme::HTTP, "acct.blob.core.windows.net", "acct", true),
            (Scheme::HTTPS, "acct.blob.core.windows.net:8443", "acct", false),
            (Scheme::HTTPS, "acct.blob.core.windows.net", "other", false),
            (Scheme::HTTPS, "other.blob.core.windows.net", "acct", false),
        ] {
            let other = at(scheme, authority, account);
            let found = (one.is_one_with(&other), other.is_one_with(&one));
            assert_eq!(found, (is, is), "{authority} {account}");
        }
    }
}
