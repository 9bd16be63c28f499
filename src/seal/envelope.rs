//! The envelope: a wrapped DEK with what is needed to unwrap it, 568 bytes in a header.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | wrap algorithm: 1 RSA-OAEP-256, 2 A256KW |
//! | 1 | 16 | reference of the CMK |
//! | 17 | 16 | version of the CMK |
//! | 33 | 2 | length of the wrapped DEK, 1 to 512 |
//! | 35 | 512 | wrapped DEK, zeros after it |
//! | 547 | 16 | origin |
//! | 563 | 5 | zeros |

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

use crate::seal::header::{Malformed, put, take};
use crate::seal::{DekId, OriginSecrets};

/// Bytes of an envelope in a header.
pub(super) const ENVELOPE_LEN: usize = 568;
/// Bytes of an envelope that the origin covers: all before the origin itself.
pub(super) const VOUCHED_LEN: usize = 547;
/// The longest wrapped DEK: one block of RSA-4096.
const MAX_WRAPPED: usize = 512;

/// How the CMK wrapped the DEK: Key Vault's `RSA-OAEP-256` (RSA, RSA-HSM) or Managed HSM's `A256KW` (oct-HSM).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum WrapAlgorithm {
    RsaOaep256 = 1,
    A256Kw = 2,
}

/// Which CMK, without its version: the first 16 bytes of SHA-256 of its URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CmkRef([u8; 16]);

/// A version of a CMK: Key Vault's 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyVersion([u8; 16]);

/// Text that is not exactly 32 hex digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("not 32 hex digits")]
pub struct NotHex;

/// A wrapped DEK, and the proof that a gate of this fleet made it.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    algorithm: WrapAlgorithm,
    cmk: CmkRef,
    version: KeyVersion,
    wrapped: Vec<u8>,
    origin: [u8; 16],
}

/// Why an envelope can't be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum EnvelopeError {
    #[error("a wrapped DEK has 1 to 512 bytes, not {found}")]
    WrappedLength { found: usize },
}

impl CmkRef {
    /// The reference of a CMK's versionless URL, `https://<vault>/keys/<name>`. Key Vault's identifiers are
    /// case-insensitive (learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates, "Object
    /// identifiers"), so the URL is lower-cased first, and loses trailing slashes and the default port, which older
    /// Managed HSMs spell out.
    #[must_use]
    pub fn of(versionless_key_url: &str) -> Self {
        let lower = versionless_key_url.trim().to_ascii_lowercase();
        let url = lower.trim_end_matches('/');
        let normal = url.strip_prefix("https://").and_then(|rest| {
            let (host, path) = rest.split_once('/')?;
            Some(format!("https://{}/{path}", host.strip_suffix(":443").unwrap_or(host)))
        });
        let hash = digest::digest(&digest::SHA256, normal.as_deref().unwrap_or(url).as_bytes());
        let mut reference = [0; 16];
        put(&mut reference, 0, hash.as_ref().get(..16).unwrap_or_default());
        Self(reference)
    }

    /// The bytes as they stand in an envelope.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl KeyVersion {
    /// The bytes as they stand in an envelope.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Envelope {
    /// The envelope of a DEK that the CMK's version just wrapped, vouched for by the first of `secrets`.
    ///
    /// # Errors
    /// `wrapped` is empty or over 512 bytes long.
    pub fn new(
        algorithm: WrapAlgorithm,
        cmk: CmkRef,
        version: KeyVersion,
        wrapped: &[u8],
        tenant: &str,
        dek: DekId,
        secrets: &OriginSecrets,
    ) -> Result<Self, EnvelopeError> {
        if wrapped.is_empty() || wrapped.len() > MAX_WRAPPED {
            return Err(EnvelopeError::WrappedLength { found: wrapped.len() });
        }
        let mut envelope = Self {
            algorithm,
            cmk,
            version,
            wrapped: wrapped.to_vec(),
            origin: [0; 16],
        };
        envelope.origin = secrets.sign(tenant, dek, &envelope);
        Ok(envelope)
    }

    #[must_use]
    pub fn algorithm(&self) -> WrapAlgorithm {
        self.algorithm
    }

    /// Which CMK; compare it with the asking tenant's before any call to the vault.
    #[must_use]
    pub fn cmk(&self) -> CmkRef {
        self.cmk
    }

    #[must_use]
    pub fn version(&self) -> KeyVersion {
        self.version
    }

    /// What to hand to the vault's unwrapKey.
    #[must_use]
    pub fn wrapped(&self) -> &[u8] {
        &self.wrapped
    }

    /// The fleet's mark on it; checked by [`OriginSecrets::verify`].
    #[must_use]
    pub fn origin(&self) -> &[u8; 16] {
        &self.origin
    }

    /// The 568 bytes as they stand in a header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ENVELOPE_LEN] {
        let mut bytes = [0; ENVELOPE_LEN];
        put(&mut bytes, 0, &[self.algorithm as u8]);
        put(&mut bytes, 1, &self.cmk.0);
        put(&mut bytes, 17, &self.version.0);
        let length = u16::try_from(self.wrapped.len()).unwrap_or_default(); // at most 512, by construction
        put(&mut bytes, 33, &length.to_be_bytes());
        put(&mut bytes, 35, &self.wrapped);
        put(&mut bytes, VOUCHED_LEN, &self.origin);
        bytes
    }

    /// Reads the 568 bytes. Says nothing of where they come from: verify the origin before use.
    ///
    /// # Errors
    /// Another length, an unknown algorithm, a wrapped length out of bounds, anything but zeros where zeros must be.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != ENVELOPE_LEN {
            return Err(Malformed::Length {
                expected: ENVELOPE_LEN,
                found: bytes.len(),
            });
        }
        let algorithm = match take::<1>(bytes, 0)? {
            [1] => WrapAlgorithm::RsaOaep256,
            [2] => WrapAlgorithm::A256Kw,
            [found] => return Err(Malformed::WrapAlgorithm { found }),
        };
        let length = usize::from(u16::from_be_bytes(take(bytes, 33)?));
        let field = take::<MAX_WRAPPED>(bytes, 35)?;
        let (wrapped, rest) = field
            .split_at_checked(length)
            .ok_or(Malformed::WrappedLength { found: length })?;
        if wrapped.is_empty() {
            return Err(Malformed::WrappedLength { found: 0 });
        }
        if rest.iter().chain(&take::<5>(bytes, 563)?).any(|byte| *byte != 0) {
            return Err(Malformed::Reserved);
        }
        Ok(Self {
            algorithm,
            cmk: CmkRef(take(bytes, 1)?),
            version: KeyVersion(take(bytes, 17)?),
            wrapped: wrapped.to_vec(),
            origin: take(bytes, VOUCHED_LEN)?,
        })
    }
}

impl NotHex {
    pub(super) fn decode(text: &str) -> Result<[u8; 16], Self> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Self)?;
        Ok(bytes)
    }
}

impl FromStr for KeyVersion {
    type Err = NotHex;

    /// Exactly 32 hex digits.
    fn from_str(text: &str) -> Result<Self, NotHex> {
        NotHex::decode(text).map(Self)
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyVersion({self})")
    }
}

impl fmt::Display for CmkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for CmkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CmkRef({self})")
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("algorithm", &self.algorithm)
            .field("cmk", &self.cmk)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::seal::Dek;

    pub(in crate::seal) fn secrets() -> OriginSecrets {
        OriginSecrets::new([[9_u8; 32]]).unwrap()
    }

    pub(in crate::seal) fn envelope(dek: &Dek, tenant: &str) -> Envelope {
        let version = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        let cmk = CmkRef::of("https://acme.vault.azure.net/keys/gate");
        Envelope::new(
            WrapAlgorithm::RsaOaep256,
            cmk,
            version,
            &[0x5a; 256],
            tenant,
            dek.id(),
            &secrets(),
        )
        .unwrap()
    }

    #[test]
    fn url_spellings_of_one_key_are_one_reference() {
        let reference = CmkRef::of("https://acme.vault.azure.net/keys/gate");
        for same in [
            "https://ACME.vault.azure.net/keys/gate",
            "https://acme.vault.azure.net/keys/Gate",
            "https://acme.vault.azure.net/keys/gate/",
            "https://acme.vault.azure.net:443/keys/gate",
        ] {
            assert_eq!(CmkRef::of(same), reference, "{same}");
        }
        for other in [
            "https://acme.vault.azure.net/keys/gate2",
            "https://acme2.vault.azure.net/keys/gate",
            "",
        ] {
            assert_ne!(CmkRef::of(other), reference, "{other}");
        }
    }

    #[test]
    fn bytes_round_trip_at_every_wrapped_length() {
        let dek = Dek::from_bytes(&[1; 32]).unwrap();
        for length in [1, 40, 256, 384, 512] {
            let wrapped = vec![0xff; length];
            let from = envelope(&dek, "acme");
            let (cmk, version) = (from.cmk(), from.version());
            let made = Envelope::new(
                WrapAlgorithm::A256Kw,
                cmk,
                version,
                &wrapped,
                "acme",
                dek.id(),
                &secrets(),
            )
            .unwrap();
            assert_eq!(Envelope::parse(&made.to_bytes()), Ok(made));
        }
    }

    #[test]
    fn wrapped_lengths_out_of_bounds_are_refused() {
        let dek = Dek::from_bytes(&[1; 32]).unwrap();
        let from = envelope(&dek, "acme");
        for found in [0, 513] {
            let wrapped = vec![1; found];
            let made = Envelope::new(
                WrapAlgorithm::A256Kw,
                from.cmk(),
                from.version(),
                &wrapped,
                "acme",
                dek.id(),
                &secrets(),
            );
            assert_eq!(made, Err(EnvelopeError::WrappedLength { found }));
            let mut bytes = from.to_bytes();
            bytes[33..35].copy_from_slice(&(found as u16).to_be_bytes());
            assert_eq!(Envelope::parse(&bytes), Err(Malformed::WrappedLength { found }));
        }
    }

    #[test]
    fn anything_but_zeros_in_the_gaps_is_refused() {
        let bytes = envelope(&Dek::from_bytes(&[1; 32]).unwrap(), "acme").to_bytes();
        for at in (35 + 256..VOUCHED_LEN).chain(563..ENVELOPE_LEN) {
            let mut bytes = bytes;
            bytes[at] = 1;
            assert_eq!(Envelope::parse(&bytes), Err(Malformed::Reserved), "byte {at}");
        }
    }
}
