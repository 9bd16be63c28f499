//! The keys of one segment, and what the two lesser ones do: metadata and aliases.
//!
//! ```text
//! prk = HKDF-Extract(salt, DEK)
//! segment key ‖ commitment ‖ metadata key ‖ alias key
//!     = HKDF-Expand(prk, "portcullis v1" ‖ len(tenant) ‖ tenant ‖ SHA-256(core[0..104]), 128)
//! ```
//!
//! Every field of the core before the commitment goes in, so a changed bit changes the commitment, and is refused
//! before any chunk is opened.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::seal::context::{prefixed, sha256};
use crate::seal::{Binding, Core, Dek, Malformed, Place, SealError, TAG_LEN, Tampered, random};

const LABEL: &[u8] = b"portcullis v1";
const NONCE_LEN: usize = 12;

/// What one core derives. The commitment is public, the rest is secret.
pub(super) struct SegmentKeys {
    pub(super) segment: LessSafeKey,
    pub(super) commitment: [u8; 32],
    pub(super) metadata: MetadataKey,
    pub(super) alias: AliasKey,
}

/// Seals small values that travel as an object's metadata, each under a random nonce.
pub struct MetadataKey(LessSafeKey);

/// Vouches for an object's copies under their new names.
pub struct AliasKey(hmac::Key);

/// A copy's right to its new name: HMAC-SHA-256 over that place's binding, under the alias key of the object
/// (multipart: of its footer). As metadata: base64url, 43 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Alias([u8; 32]);

/// Derives the keys of the segment with this core, whose own commitment is left out of it.
pub(super) fn segment_keys(dek: &Dek, tenant: &str, core: &Core) -> Option<SegmentKeys> {
    let okm = keys::<128>(dek, tenant, core)?;
    let (segment, rest) = okm.split_first_chunk::<32>()?;
    let (commitment, rest) = rest.split_first_chunk::<32>()?;
    let (metadata, alias) = rest.split_first_chunk::<32>()?;
    Some(SegmentKeys {
        segment: aes_256_gcm(segment)?,
        commitment: *commitment,
        metadata: MetadataKey(aes_256_gcm(metadata)?),
        alias: AliasKey(hmac::Key::new(hmac::HMAC_SHA256, alias)),
    })
}

/// The commitment and the metadata key alone: what a look at metadata takes, for two thirds of the cost.
pub(super) fn metadata_keys(dek: &Dek, tenant: &str, core: &Core) -> Option<([u8; 32], MetadataKey)> {
    let okm = keys::<96>(dek, tenant, core)?;
    let (_, rest) = okm.split_first_chunk::<32>()?;
    let (commitment, metadata) = rest.split_first_chunk::<32>()?;
    Some((*commitment, MetadataKey(aes_256_gcm(metadata)?)))
}

/// The first `N` of the bytes that a core derives.
fn keys<const N: usize>(dek: &Dek, tenant: &str, core: &Core) -> Option<Box<Zeroizing<[u8; N]>>> {
    let digest = sha256(&core.uncommitted());
    let room = [LABEL.len(), size_of::<u32>(), tenant.len(), digest.len()];
    let mut info = Vec::with_capacity(room.iter().sum());
    info.extend_from_slice(LABEL);
    prefixed(&mut info, tenant.as_bytes());
    info.extend_from_slice(&digest);
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, core.salt()).extract(dek.expose());
    expand(&prk, &[&info])
}

/// HKDF-Expand to `N` bytes, boxed so that moving them leaves no copy on the stack.
pub(super) fn expand<const N: usize>(prk: &hkdf::Prk, info: &[&[u8]]) -> Option<Box<Zeroizing<[u8; N]>>> {
    let mut out = Box::new(Zeroizing::new([0; N]));
    prk.expand(info, Length(N)).ok()?.fill(out.as_mut_slice()).ok()?;
    Some(out)
}

impl MetadataKey {
    /// Seals `value`, to be opened under the same `label` only: base64url of nonce 12 ‖ ciphertext ‖ tag 16.
    ///
    /// # Errors
    /// The kernel gave no random bytes, or the value is beyond AES-GCM's length.
    pub fn seal(&self, label: &str, value: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE_LEN];
        random::fill(&mut nonce)?;
        self.seal_with(nonce, label, value).ok_or(SealError::Aead)
    }

    /// Opens what [`MetadataKey::seal`] made.
    ///
    /// # Errors
    /// Not its text, or not sealed for this object under this label.
    pub fn open(&self, label: &str, text: &str) -> Result<Vec<u8>, Tampered> {
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Tampered::Metadata)?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>().ok_or(Tampered::Metadata)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let value = self
            .0
            .open_in_place(nonce, Aad::from(label), sealed)
            .map_err(|_| Tampered::Metadata)?;
        Ok(value.to_vec())
    }

    pub(super) fn seal_with(&self, nonce: [u8; NONCE_LEN], label: &str, value: &[u8]) -> Option<String> {
        let mut bytes = Vec::with_capacity(value.len().checked_add(NONCE_LEN)?.checked_add(TAG_LEN)?);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(value);
        let (_, body) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(label), body).ok()?;
        bytes.extend_from_slice(tag.as_ref());
        Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl AliasKey {
    /// The alias of this object for a new place.
    #[must_use]
    pub fn alias(&self, place: &Place<'_>) -> Alias {
        let tag = hmac::sign(&self.0, Binding::whole(place).as_bytes());
        Alias(tag.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// Whether `alias` gives this object the right to `place`; in constant time.
    #[must_use]
    pub fn vouches(&self, alias: &Alias, place: &Place<'_>) -> bool {
        hmac::verify(&self.0, Binding::whole(place).as_bytes(), &alias.0).is_ok()
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alias({self})")
    }
}

impl FromStr for Alias {
    type Err = Malformed;

    /// Exactly 43 characters of base64url.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed::Text)?;
        bytes.try_into().map(Self).map_err(|_| Malformed::Text)
    }
}

/// HKDF's output length, in the form aws-lc-rs asks for it.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn aes_256_gcm(key: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}
