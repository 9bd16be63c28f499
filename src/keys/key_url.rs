//! The address of a customer's key, and which hosts may hold one. Parsing is the only way in, so a token is never sent to a
//! host outside the allow-list, and no text of a configuration ends up in a request's path unchecked.

use crate::seal::{CmkRef, KeyVersion};
use azure_core::http::Url;
use std::fmt;

/// `https://{vault}/keys/{name}[/{version}]`, on an allowed host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyUrl {
    vault: String,
    versionless: String,
    name: String,
    version: Option<KeyVersion>,
    scope: String,
    loopback: bool,
    hsm: bool,
}

/// What stand-ins for Managed HSMs on this machine are named below, and what a token for one is asked for.
const LOCAL_HSM: (&str, &str) = (".managedhsm.localhost", "https://managedhsm.azure.net/.default");

/// The hosts that may hold keys, each suffix with the resource a token for it is asked for. The resource comes from here and
/// never from a vault's challenge. [`Cloud::vaults`](crate::keys::identity::Cloud::vaults) has those of each cloud.
#[derive(Clone, Debug)]
pub struct VaultHosts {
    suffixes: Vec<(String, String)>,
    localhost: Option<String>,
}

/// What is wrong with a key's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyUrlError {
    #[error("not an https URL of the form https://<vault>/keys/<name>[/<version>]")]
    Form,
    #[error(
        "the host {host} is not among the vault hosts that are allowed: those of the identity's cloud, or vault_hosts"
    )]
    Host { host: String },
    #[error("the key's name must be 1 to 127 letters, digits and hyphens")]
    Name,
    #[error("the key's version must be 32 hex digits")]
    Version,
}

impl KeyUrl {
    /// Parses the URL that the portal and CCKM show as the "key identifier".
    pub fn parse(text: &str, hosts: &VaultHosts) -> Result<Self, KeyUrlError> {
        let url = Url::parse(text).map_err(|_| KeyUrlError::Form)?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.scheme() == "https";
        let (true, Some(host)) = (bare, url.host_str()) else {
            return Err(KeyUrlError::Form);
        };
        let (scope, loopback) = hosts
            .scope(host)
            .ok_or_else(|| KeyUrlError::Host { host: host.to_owned() })?;
        let mut segments = url
            .path()
            .strip_prefix('/')
            .unwrap_or_default()
            .trim_end_matches('/')
            .split('/');
        let (Some("keys"), Some(name), version, None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(KeyUrlError::Form);
        };
        if name.is_empty() || name.len() > 127 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(KeyUrlError::Name);
        }
        let version = version.map(str::parse).transpose().map_err(|_| KeyUrlError::Version)?;
        // The URL's serialisation lower-cases the host and drops the default port.
        let vault = url.origin().ascii_serialization();
        Ok(Self {
            versionless: format!("{vault}/keys/{name}"),
            vault,
            name: name.to_owned(),
            version,
            scope: scope.to_owned(),
            loopback,
            hsm: host.split('.').any(|label| label == "managedhsm"),
        })
    }

    /// `https://{vault}`, lower-case, with a port only if it is not 443.
    pub fn vault(&self) -> &str {
        &self.vault
    }

    /// The key's name in its vault.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key without a version: what identifies a CMK through its rotations.
    pub fn versionless(&self) -> &str {
        &self.versionless
    }

    /// What the envelopes of this key's DEKs name it by.
    pub fn cmk(&self) -> CmkRef {
        CmkRef::of(&self.versionless)
    }

    /// The version the configuration pins, if it does.
    pub fn version(&self) -> Option<KeyVersion> {
        self.version
    }

    /// The scope a token for this vault is asked for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Whether the vault is a stand-in on this machine (RFC 6761 section 6.3), whose challenge cannot name its own domain.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether it is in a Managed HSM, which has roles and keys of its own. Every cloud names them `….managedhsm.…`.
    pub fn is_hsm(&self) -> bool {
        self.hsm
    }

    /// The version that a `kid` names, if it is one of this key. Older Managed HSMs spell the default port out.
    pub fn version_of(&self, kid: &str) -> Option<KeyVersion> {
        let (key, version) = kid.rsplit_once('/')?;
        let ours = match key.split_once(":443/") {
            Some((vault, rest)) => format!("{vault}/{rest}").eq_ignore_ascii_case(&self.versionless),
            None => key.eq_ignore_ascii_case(&self.versionless),
        };
        ours.then(|| version.parse().ok()).flatten()
    }
}

impl fmt::Display for KeyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.versionless)
    }
}

impl VaultHosts {
    /// These hosts and those.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.suffixes.extend(other.suffixes);
        self
    }

    /// No host at all, to be extended.
    pub fn none() -> Self {
        Self {
            suffixes: Vec::new(),
            localhost: None,
        }
    }

    /// Allows the hosts below `domain`, with tokens of `scope`.
    #[must_use]
    pub fn with(mut self, domain: &str, scope: &str) -> Self {
        let suffix = format!(".{}", domain.trim_start_matches('.').to_ascii_lowercase());
        self.suffixes.push((suffix, scope.to_owned()));
        self
    }

    /// Allows `localhost` and the names below it, with tokens of `scope` (those below `managedhsm.localhost` with a Managed HSM's):
    /// for stand-ins on this machine.
    #[must_use]
    pub fn with_localhost(mut self, scope: &str) -> Self {
        self.localhost = Some(scope.to_owned());
        self
    }

    /// The scope for a host (already lower-case), and whether it is this machine.
    fn scope(&self, host: &str) -> Option<(&str, bool)> {
        if let Some(scope) = &self.localhost
            && (host == "localhost" || host.ends_with(".localhost"))
        {
            let (domain, of_hsm) = LOCAL_HSM;
            return Some((if host.ends_with(domain) { of_hsm } else { scope }, true));
        }
        self.suffixes
            .iter()
            .find(|(suffix, _)| host.ends_with(suffix.as_str()))
            .map(|(_, scope)| (scope.as_str(), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::identity::Cloud;

    const VERSION: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_key_identifier_is_taken_apart() {
        let url = format!("https://Acme.Vault.Azure.Net:443/keys/Cmk-1/{VERSION}");
        let key = KeyUrl::parse(&url, &Cloud::Public.vaults()).unwrap();
        assert_eq!(key.vault(), "https://acme.vault.azure.net");
        assert_eq!(key.versionless(), "https://acme.vault.azure.net/keys/Cmk-1");
        assert_eq!((key.name(), key.version()), ("Cmk-1", Some(VERSION.parse().unwrap())));
        assert_eq!(key.scope(), "https://vault.azure.net/.default");
        assert!(!key.is_loopback());
    }

    #[test]
    fn a_host_outside_the_allow_list_is_refused() {
        for host in [
            "vault.azure.net",
            "evilvault.azure.net",
            "a.vault.azure.net.example.com",
            "localhost",
            "a.localhost",
            "127.0.0.1",
            "a.vault.azure.net.",
        ] {
            let refused = KeyUrl::parse(&format!("https://{host}/keys/k"), &Cloud::Public.vaults());
            assert_eq!(refused, Err(KeyUrlError::Host { host: host.to_owned() }));
        }
    }

    #[test]
    fn localhost_is_allowed_only_when_told_so() {
        let hosts = VaultHosts::none().with_localhost("https://vault.azure.net/.default");
        for host in ["localhost", "acme-vault.localhost:8443"] {
            let key = KeyUrl::parse(&format!("https://{host}/keys/k/"), &hosts).unwrap();
            assert!(key.is_loopback());
            assert_eq!(key.versionless(), format!("https://{host}/keys/k"));
        }
        let hsm = KeyUrl::parse("https://a.managedhsm.localhost:1/keys/k", &hosts).unwrap();
        assert_eq!(hsm.scope(), "https://managedhsm.azure.net/.default");
        assert!(hsm.is_hsm());
        assert!(KeyUrl::parse("https://acme.vault.azure.net/keys/k", &hosts).is_err());
        assert!(KeyUrl::parse("https://notlocalhost/keys/k", &hosts).is_err());
    }

    #[test]
    fn other_shapes_are_refused() {
        use KeyUrlError::{Form, Name, Version};
        for (path, error) in [
            ("http://a.vault.azure.net/keys/k", Form),
            ("https://a.vault.azure.net/secrets/k", Form),
            ("https://a.vault.azure.net/keys", Form),
            ("https://a.vault.azure.net//keys/k", Form),
            ("https://a.vault.azure.net/keys/k?api-version=7.4", Form),
            ("https://a.vault.azure.net/keys/k#f", Form),
            ("https://u:p@a.vault.azure.net/keys/k", Form),
            ("https://a.vault.azure.net/keys/k%2f..", Name),
            ("https://a.vault.azure.net/keys/{key-version}", Name),
            ("https://a.vault.azure.net/keys/k/latest", Version),
            ("https://a.vault.azure.net/keys/k/0123/x", Form),
            ("acme/keys/k", Form),
        ] {
            assert_eq!(KeyUrl::parse(path, &Cloud::Public.vaults()), Err(error), "{path}");
        }
    }

    #[test]
    fn a_kid_of_another_key_names_no_version() {
        let key = KeyUrl::parse("https://a.vault.azure.net/keys/k", &Cloud::Public.vaults()).unwrap();
        let ours = format!("https://a.vault.azure.net/keys/k/{VERSION}");
        assert_eq!(key.version_of(&ours), Some(VERSION.parse().unwrap()));
        let spelled = ours.replace(".net/", ".net:443/");
        assert_eq!(key.version_of(&spelled), Some(VERSION.parse().unwrap()));
        for kid in [
            "https://a.vault.azure.net/keys/other",
            "https://b.vault.azure.net/keys/k",
            "https://a.vault.azure.net/keys/k2",
        ] {
            assert_eq!(key.version_of(&format!("{kid}/{VERSION}")), None);
        }
    }
}
