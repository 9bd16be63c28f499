//! DEKs and their ids.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use crate::seal::derive::expand;
use crate::seal::{NotHex, RandomError, random};

/// A data key: 32 secret bytes of one tenant, zeroized on drop. A DEK never serves two tenants.
pub struct Dek {
    /// Boxed: what is moved leaves its bytes behind on the stack, and nobody wipes those.
    bytes: Box<Zeroizing<[u8; 32]>>,
    id: DekId,
}

/// The name of a DEK: 16 bytes of HKDF of the DEK itself, so that an id can't be given to another DEK.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DekId([u8; 16]);

/// Why bytes are no DEK.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum DekError {
    #[error("a DEK has 32 bytes, not {found}")]
    Length { found: usize },
    #[error("the DEK's id can't be derived")]
    Derivation,
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Dek {
    /// A fresh DEK from the kernel's random bytes.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn generate() -> Result<Self, DekError> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        random::fill(&mut bytes)?;
        Self::of(bytes)
    }

    /// The DEK that the vault unwrapped.
    ///
    /// # Errors
    /// Not 32 bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DekError> {
        let mut own = Box::new(Zeroizing::new([0; 32]));
        if bytes.len() != own.len() {
            return Err(DekError::Length { found: bytes.len() });
        }
        own.copy_from_slice(bytes);
        Self::of(own)
    }

    /// Its name, safe to store and to log.
    #[must_use]
    pub fn id(&self) -> DekId {
        self.id
    }

    /// The secret bytes: for wrapping under the CMK, and for deriving segment keys, only.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn of(bytes: Box<Zeroizing<[u8; 32]>>) -> Result<Self, DekError> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(bytes.as_slice());
        let id = expand::<16>(&prk, &[b"portcullis v1 dek id"]).ok_or(DekError::Derivation)?;
        Ok(Self { bytes, id: DekId(**id) })
    }
}

impl DekId {
    /// The bytes as they stand in a header.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(super) fn from_array(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dek({})", self.id)
    }
}

impl fmt::Display for DekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DekId({self})")
    }
}

impl FromStr for DekId {
    type Err = NotHex;

    /// Exactly 32 hex digits.
    fn from_str(text: &str) -> Result<Self, NotHex> {
        NotHex::decode(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_follows_from_the_bytes_and_its_text_round_trips() {
        let dek = Dek::from_bytes(&[7; 32]).unwrap();
        assert_eq!(dek.id(), Dek::from_bytes(&[7; 32]).unwrap().id());
        assert_ne!(dek.id(), Dek::from_bytes(&[8; 32]).unwrap().id());
        assert_eq!(dek.id().to_string().parse(), Ok(dek.id()));
        assert_eq!(dek.id().to_string().len(), 32);
        for text in [
            "",
            "00",
            "zz000000000000000000000000000000",
            "000000000000000000000000000000000",
        ] {
            assert_eq!(text.parse::<DekId>(), Err(NotHex), "{text}");
        }
    }

    #[test]
    fn only_32_bytes_are_a_dek() {
        for found in [0, 31, 33] {
            assert_eq!(Dek::from_bytes(&vec![1; found]).err(), Some(DekError::Length { found }));
        }
    }

    #[test]
    fn secret_never_shows_in_debug() {
        let dek = Dek::from_bytes(&[0xab; 32]).unwrap();
        assert_eq!(format!("{dek:?}"), format!("Dek({})", dek.id()));
        assert!(!format!("{dek:?}").contains("abab"));
    }

    #[test]
    fn two_generated_deks_differ() {
        assert_ne!(Dek::generate().unwrap().id(), Dek::generate().unwrap().id());
    }
}
