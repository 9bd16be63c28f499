//! Which account, container and blob a request is about: from its host and path.
//!
//! The account stands in the host (`<account>.blob.…`, a custom domain) or, as with emulators, in the path. A path with one
//! step and no `restype=container` is a blob of the container `$root`.

use std::sync::Arc;

use http::header::HOST;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::azure::account::{Account, Accounts};
use crate::azure::error::AzureError;
use crate::upstream::parameters;

/// Azure's longest blob name, in UTF-16 units; in bytes it can't be under this.
const LONGEST_NAME: usize = 1024;

/// What a request is about.
#[derive(Clone)]
pub struct Address {
    /// Whose containers.
    pub account: Arc<Account>,
    /// Whether the secondary was addressed, which only reads.
    pub secondary: bool,
    /// The account's name stands in the path: it then is there twice in what SharedKey signs.
    pub path_style: bool,
    /// Decoded; empty for the account itself.
    pub container: String,
    /// Decoded; empty for the container itself.
    pub blob: String,
    /// The query's parameters, decoded, in their order.
    pub query: Vec<(String, String)>,
}

impl Address {
    /// Reads a request's head.
    ///
    /// # Errors
    /// No account of this gate, or a name that can't be one.
    pub fn of(parts: &Parts, accounts: &Accounts) -> Result<Self, AzureError> {
        let host = parts.headers.get(HOST).and_then(|value| value.to_str().ok());
        let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
        Self::read(
            host.unwrap_or(""),
            parts.uri.path(),
            parts.uri.query().unwrap_or(""),
            accounts,
        )
    }

    /// Reads a URL that names a blob of this gate, as in `x-ms-copy-source`; `None` where it is another's.
    pub fn of_url(url: &http::Uri, accounts: &Accounts) -> Option<Self> {
        let host = url.authority()?.as_str();
        Self::read(host, url.path(), url.query().unwrap_or(""), accounts).ok()
    }

    fn read(host: &str, path: &str, query: &str, accounts: &Accounts) -> Result<Self, AzureError> {
        let query = parameters(query).ok_or(AzureError::InvalidUri)?;
        let path = path.strip_prefix('/').unwrap_or(path);
        let (account, secondary, path_style, path) = match accounts.of_host(host) {
            Some((account, secondary)) => (account, secondary, false, path),
            None => {
                let (name, rest) = path.split_once('/').unwrap_or((path, ""));
                let (account, secondary) = accounts.of_name(name).ok_or(AzureError::UnknownAccount)?;
                (account, secondary, true, rest)
            }
        };
        let whole = query
            .iter()
            .any(|(name, value)| name == "restype" && value == "container");
        let (container, blob) = match path.split_once('/') {
            Some((container, blob)) => (container, blob),
            None if path.is_empty() || whole => (path, ""),
            None => ("$root", path),
        };
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(std::borrow::Cow::into_owned)
                .map_err(|_| AzureError::InvalidUri)
        };
        let address = Self {
            account: Arc::clone(account),
            secondary,
            path_style,
            container: decode(container)?,
            blob: decode(blob)?,
            query,
        };
        address.check()?;
        Ok(address)
    }

    /// The value of a query parameter; names are compared as Azure does, without regard to case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut found = self.query.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// A container that has a name of its own kind, and a blob that stays in it: a store, or what stands before it, may read `..`
    /// as a way out, and a reverse solidus as a slash.
    fn check(&self) -> Result<(), AzureError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let special = matches!(
            self.container.as_str(),
            "" | "$root" | "$web" | "$logs" | "$blobchangefeed"
        );
        if !special && !self.container.chars().all(plain) {
            return Err(AzureError::InvalidResourceName);
        }
        if self.blob.chars().count() > LONGEST_NAME {
            return Err(AzureError::InvalidResourceName);
        }
        let mut depth = 0_usize;
        for step in self.blob.split(['/', '\\']) {
            depth = match step {
                ".." => depth.checked_sub(1).ok_or(AzureError::InvalidUri)?,
                "" | "." => depth,
                _ => depth.saturating_add(1),
            };
        }
        if self.blob.split(['/', '\\']).any(|step| step == ".." || step == ".") || self.blob.contains('\0') {
            return Err(AzureError::InvalidUri);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::account::tests::accounts;

    fn of(host: &str, target: &str) -> Result<(String, String, bool, bool), AzureError> {
        let request = http::Request::builder().uri(target).header(HOST, host);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let address = Address::of(&parts, &accounts())?;
        Ok((address.container, address.blob, address.secondary, address.path_style))
    }

    #[test]
    fn both_styles_of_address_are_read() {
        let found = |container: &str, blob: &str, secondary, path_style| {
            (container.to_owned(), blob.to_owned(), secondary, path_style)
        };
        for (host, target, expected) in [
            ("127.0.0.1:1", "/acme", found("", "", false, true)),
            ("127.0.0.1:1", "/acme/?comp=list", found("", "", false, true)),
            ("127.0.0.1:1", "/acme/c?restype=container", found("c", "", false, true)),
            ("127.0.0.1:1", "/acme/c/a%20b/%C3%BC", found("c", "a b/ü", false, true)),
            ("127.0.0.1:1", "/acme-secondary/c/b", found("c", "b", true, true)),
            ("acme.blob.localhost", "/c/b/", found("c", "b/", false, false)),
            ("acme.blob.localhost", "/b.txt", found("$root", "b.txt", false, false)),
            ("acme.blob.localhost", "/", found("", "", false, false)),
        ] {
            assert_eq!(of(host, target).unwrap(), expected, "{host} {target}");
        }
        assert!(matches!(
            of("127.0.0.1", "/nobody/c/b"),
            Err(AzureError::UnknownAccount)
        ));
    }

    #[test]
    fn no_name_climbs_out_of_its_container() {
        for target in [
            "/acme/c/../x/y",
            "/acme/c/%2e%2e/y",
            "/acme/c/a%5C..%5C..%5Cb",
            "/acme/c/a/./b",
            "/acme/c/%ff",
            "/acme/c/%00",
        ] {
            assert!(
                matches!(of("127.0.0.1", target), Err(AzureError::InvalidUri)),
                "{target}"
            );
        }
        assert!(matches!(
            of("127.0.0.1", "/acme/UP/x"),
            Err(AzureError::InvalidResourceName)
        ));
        assert!(of("127.0.0.1", "/acme/c/a..b/...").is_ok());
    }
}
