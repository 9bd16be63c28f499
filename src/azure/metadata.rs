//! What the gate keeps in a blob's own metadata: the core that a reader needs, the plaintext's checksums, and a copy's alias.
//! Names are C# identifiers, as Azure wants them, so there is no hyphen in them.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::azure::error::AzureError;
use crate::seal::{Alias, Checksum, ChecksumKind, Checksums, Core, MetadataKey};

/// What all metadata begins with.
pub const META: &str = "x-ms-meta-";
/// User metadata that belongs to the gate begins with this.
const RESERVED: &str = "x-ms-meta-portcullis_";
const CORE: HeaderName = HeaderName::from_static("x-ms-meta-portcullis_core");
const SUMS: HeaderName = HeaderName::from_static("x-ms-meta-portcullis_sums");
const ALIAS: HeaderName = HeaderName::from_static("x-ms-meta-portcullis_alias");
const PENDING: HeaderName = HeaderName::from_static("x-ms-meta-portcullis_pending");

/// The gate's own part of a blob's metadata. Nothing of it is believed before it was checked against the body's own header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// Of the whole object or of the footer.
    pub core: Option<Core>,
    /// The plaintext's checksums, sealed.
    pub sums: Option<String>,
    /// A copy's right to its name.
    pub alias: Option<String>,
    /// An append blob that the gate is still copying, or stopped to: it ends at a block's end, and nothing else would tell.
    pub pending: bool,
}

impl Hidden {
    /// As the store's answer about a blob has it.
    pub fn of(store: &HeaderMap) -> Self {
        let text = |name: &HeaderName| store.get(name).and_then(|value| value.to_str().ok());
        Self {
            core: text(&CORE).and_then(|text| Core::from_text(text).ok()),
            sums: text(&SUMS).map(str::to_owned),
            alias: text(&ALIAS).map(str::to_owned),
            pending: store.contains_key(&PENDING),
        }
    }

    /// As a listing has it: the children of `<Metadata>`.
    pub fn listed<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut hidden = Self::default();
        for (name, value) in pairs {
            let is = |own: &str| name.eq_ignore_ascii_case(own);
            if is("portcullis_core") {
                hidden.core = Core::from_text(value).ok();
            } else if is("portcullis_sums") {
                hidden.sums = Some(value.to_owned());
            } else if is("portcullis_alias") {
                hidden.alias = Some(value.to_owned());
            } else if is("portcullis_pending") {
                hidden.pending = true;
            }
        }
        hidden
    }

    /// Puts it among the headers of a request to the store.
    pub fn write(&self, headers: &mut HeaderMap) {
        let fields = [
            (CORE, self.core.as_ref().map(Core::to_text)),
            (SUMS, self.sums.clone()),
            (ALIAS, self.alias.clone()),
            (PENDING, self.pending.then(|| "1".to_owned())),
        ];
        for (name, value) in fields {
            match value.map(HeaderValue::try_from) {
                Some(Ok(value)) => headers.insert(name, value),
                Some(Err(_)) | None => headers.remove(name),
            };
        }
    }

    /// The alias, if it can be one.
    pub fn alias(&self) -> Option<Alias> {
        self.alias.as_deref()?.parse().ok()
    }

    /// The MD5 that clients are shown of the plaintext: the one they claimed, or else the one computed; in base64.
    pub fn md5(&self, key: &MetadataKey) -> Option<HeaderValue> {
        HeaderValue::try_from(self.md5_text(key)?).ok()
    }

    /// The same, as text.
    pub fn md5_text(&self, key: &MetadataKey) -> Option<String> {
        let sums = key.open_checksums(self.sums.as_deref()?).ok()?;
        let of = |kind| sums.iter().find(|sum| sum.kind == kind && sum.parts.is_none());
        let sum = of(ChecksumKind::ClaimedMd5).or_else(|| of(ChecksumKind::Md5))?;
        Some(crate::azure::checks::to_base64(sum.value))
    }
}

/// Seals the MD5 that clients are to be shown.
///
/// # Errors
/// The kernel gave no random bytes.
pub fn sums(key: &MetadataKey, kind: ChecksumKind, md5: &[u8]) -> Result<Option<String>, AzureError> {
    let mut sums = Checksums::default();
    let sum = Checksum {
        kind,
        parts: None,
        value: md5,
    };
    if sums.add(sum).is_err() {
        return Ok(None);
    }
    let sealed = key.seal_checksums(&sums);
    sealed.map(Some).map_err(|error| AzureError::Body(error.into()))
}

/// Whether this is metadata that no client sees.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Whether this is the name, in a listing, of metadata that no client sees.
pub fn is_hidden_name(name: &str) -> bool {
    const OURS: &[u8] = b"portcullis_";
    let begins = name.as_bytes().get(..OURS.len());
    begins.is_some_and(|begins| begins.eq_ignore_ascii_case(OURS))
}

/// Copies a client's metadata.
///
/// # Errors
/// Some of it has a name that belongs to the gate.
pub fn from_client(client: &HeaderMap, to: &mut HeaderMap) -> Result<(), AzureError> {
    for (name, value) in client.iter().filter(|(name, _)| name.as_str().starts_with(META)) {
        if is_hidden(name.as_str()) {
            let name = name.as_str().to_owned();
            return Err(AzureError::ReservedMetadata { name });
        }
        to.append(name.clone(), value.clone());
    }
    Ok(())
}

/// Whether a client gave metadata.
pub fn given(client: &HeaderMap) -> bool {
    client.keys().any(|name| name.as_str().starts_with(META))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_gate_is_refused_and_the_rest_copied() {
        let mut client = HeaderMap::new();
        client.insert("x-ms-meta-Color", HeaderValue::from_static("red"));
        client.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
        let mut store = HeaderMap::new();
        from_client(&client, &mut store).unwrap();
        assert_eq!(store.len(), 1);
        client.insert(SUMS, HeaderValue::from_static("x"));
        assert!(matches!(
            from_client(&client, &mut store),
            Err(AzureError::ReservedMetadata { .. })
        ));
        assert!(is_hidden_name("Portcullis_Core"));
    }

    #[test]
    fn what_is_hidden_comes_back() {
        let hidden = Hidden {
            core: None,
            sums: Some("s".into()),
            alias: Some("a".into()),
            pending: true,
        };
        let mut headers = HeaderMap::new();
        headers.insert(CORE, HeaderValue::from_static("stale"));
        hidden.write(&mut headers);
        assert_eq!(Hidden::of(&headers), hidden);
        let listed = [
            ("Portcullis_sums", "s"),
            ("portcullis_alias", "a"),
            ("portcullis_pending", "1"),
            ("color", "red"),
        ];
        assert_eq!(Hidden::listed(listed.into_iter()), hidden);
    }
}
