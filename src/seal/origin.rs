//! Origin: the fleet's mark on an envelope. RSA-OAEP wraps with a public key, so without it anyone who can write the
//! store could wrap a DEK of their own choice and forge objects that open.
//!
//! `origin = HMAC-SHA-256(HKDF(secret), label ‖ len(tenant) ‖ tenant ‖ DEK id ‖ envelope up to the origin)`, its first
//! 16 bytes.

use aws_lc_rs::{constant_time, hkdf, hmac};

use crate::seal::context::prefixed;
use crate::seal::derive::expand;
use crate::seal::envelope::VOUCHED_LEN;
use crate::seal::{DekId, Envelope};

const LABEL: &[u8] = b"portcullis v1 origin";
const LEAST_SECRET: usize = 32;

/// The fleet's origin secrets. The first signs; every one verifies, so that a secret can be rotated without a gap.
pub struct OriginSecrets {
    first: hmac::Key,
    older: Vec<hmac::Key>,
}

/// The envelope was not made by this fleet for this tenant and DEK: the object is tampered with, or forged.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("the envelope's origin is false")]
pub struct FalseOrigin;

/// Why a list of origin secrets can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum WeakSecret {
    #[error("no origin secret is given")]
    Missing,
    #[error("an origin secret has 32 bytes at least; number {number} has {found}")]
    Short { number: usize, found: usize },
    #[error("the origin key can't be derived")]
    Derivation,
}

impl OriginSecrets {
    /// The secrets in order, the current one first, each of 32 bytes at least. They are not kept, only keys derived
    /// from them.
    ///
    /// # Errors
    /// No secret, or one too short (numbered from 1).
    pub fn new<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, WeakSecret> {
        let mut keys = secrets
            .into_iter()
            .zip(1..)
            .map(|(secret, number)| mac_key(secret.as_ref(), number));
        let first = keys.next().ok_or(WeakSecret::Missing)??;
        Ok(Self {
            first,
            older: keys.collect::<Result<_, _>>()?,
        })
    }

    /// Checks the fleet's mark, in constant time. Comes before any call to the vault, and before a DEK is used or
    /// cached.
    ///
    /// # Errors
    /// No secret of the list made it for this tenant and DEK.
    pub fn verify(&self, tenant: &str, dek: DekId, envelope: &Envelope) -> Result<(), FalseOrigin> {
        let message = message(tenant, dek, envelope);
        let vouched = std::iter::once(&self.first)
            .chain(&self.older)
            .any(|key| constant_time::verify_slices_are_equal(&origin(key, &message), envelope.origin()).is_ok());
        if vouched { Ok(()) } else { Err(FalseOrigin) }
    }

    /// Another secret of the fleet's, for a purpose of its own: HMAC-SHA-256 over the purpose and the fields, each behind its length,
    /// whose first byte is 0 and so begins no origin's message. One for each secret of the list; the first is to be used, each of
    /// them counts.
    pub fn derived(&self, purpose: &str, fields: &[&str]) -> impl Iterator<Item = [u8; 32]> {
        let mut message = Vec::new();
        prefixed(&mut message, purpose.as_bytes());
        for field in fields {
            prefixed(&mut message, field.as_bytes());
        }
        std::iter::once(&self.first).chain(&self.older).map(move |key| {
            let tag = hmac::sign(key, &message);
            tag.as_ref().first_chunk().copied().unwrap_or_default()
        })
    }

    pub(super) fn sign(&self, tenant: &str, dek: DekId, envelope: &Envelope) -> [u8; 16] {
        origin(&self.first, &message(tenant, dek, envelope))
    }
}

fn mac_key(secret: &[u8], number: usize) -> Result<hmac::Key, WeakSecret> {
    if secret.len() < LEAST_SECRET {
        return Err(WeakSecret::Short {
            number,
            found: secret.len(),
        });
    }
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret);
    let key = expand::<32>(&prk, &[LABEL]).ok_or(WeakSecret::Derivation)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
}

fn message(tenant: &str, dek: DekId, envelope: &Envelope) -> Vec<u8> {
    let bytes = envelope.to_bytes();
    let mut message = LABEL.to_vec();
    prefixed(&mut message, tenant.as_bytes());
    message.extend_from_slice(dek.as_bytes());
    message.extend_from_slice(bytes.get(..VOUCHED_LEN).unwrap_or_default());
    message
}

fn origin(key: &hmac::Key, message: &[u8]) -> [u8; 16] {
    let tag = hmac::sign(key, message);
    tag.as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::envelope::tests::{envelope, secrets};
    use crate::seal::{CmkRef, Dek, WrapAlgorithm};

    #[test]
    fn only_the_fleets_own_envelope_for_that_tenant_and_dek_is_true() {
        let dek = Dek::from_bytes(&[1; 32]).unwrap();
        let other = Dek::from_bytes(&[2; 32]).unwrap();
        let made = envelope(&dek, "acme");
        assert_eq!(secrets().verify("acme", dek.id(), &made), Ok(()));
        assert_eq!(secrets().verify("acme2", dek.id(), &made), Err(FalseOrigin));
        assert_eq!(secrets().verify("acme", other.id(), &made), Err(FalseOrigin));
        let strangers = OriginSecrets::new([[8_u8; 32]]).unwrap();
        assert_eq!(strangers.verify("acme", dek.id(), &made), Err(FalseOrigin));
    }

    #[test]
    fn every_bit_of_an_envelope_is_covered() {
        let dek = Dek::from_bytes(&[1; 32]).unwrap();
        let bytes = envelope(&dek, "acme").to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(changed) = Envelope::parse(&bytes) else { continue };
            assert_eq!(
                secrets().verify("acme", dek.id(), &changed),
                Err(FalseOrigin),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_dek_wrapped_with_the_public_key_by_a_stranger_is_refused() {
        let forged = Dek::from_bytes(&[3; 32]).unwrap();
        let cmk = CmkRef::of("https://acme.vault.azure.net/keys/gate");
        let version = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        let strangers = OriginSecrets::new([[0_u8; 32]]).unwrap();
        let envelope = Envelope::new(
            WrapAlgorithm::RsaOaep256,
            cmk,
            version,
            &[1; 256],
            "acme",
            forged.id(),
            &strangers,
        )
        .unwrap();
        assert_eq!(secrets().verify("acme", forged.id(), &envelope), Err(FalseOrigin));
    }

    #[test]
    fn older_secrets_still_verify_and_the_first_signs() {
        let dek = Dek::from_bytes(&[1; 32]).unwrap();
        let old = envelope(&dek, "acme");
        let rotated = OriginSecrets::new([[7_u8; 32], [9; 32]]).unwrap();
        assert_eq!(rotated.verify("acme", dek.id(), &old), Ok(()));
        assert_ne!(&rotated.sign("acme", dek.id(), &old), old.origin());
    }

    #[test]
    fn weak_lists_are_refused() {
        assert_eq!(OriginSecrets::new::<[u8; 32]>([]).err(), Some(WeakSecret::Missing));
        let short = OriginSecrets::new([&[1_u8; 32][..], &[2; 31]]).err();
        assert_eq!(short, Some(WeakSecret::Short { number: 2, found: 31 }));
    }
}
