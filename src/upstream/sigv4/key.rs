//! The secrets of Signature Version 4, and what is derived from them: credential, signing key, signature, timestamp.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::{Date, Month, OffsetDateTime};
use zeroize::Zeroizing;

use crate::upstream::sigv4::ALGORITHM;

/// Signing keys kept for one credential: today's and yesterday's, and what presigned URLs of the last week need.
const KEPT: usize = 16;

/// A secret access key or session token: zeroized when dropped, never shown, compared in constant time.
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself, for the two places that need its bytes: derivation, and the token's header.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this secret. Takes as long wherever they differ.
    pub fn is(&self, other: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other).is_ok()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// An access key, its secret, and the signing keys derived from it so far.
///
/// The keys live in their credential so that a changed secret, which is a new `Credential`, can't meet old keys.
#[derive(Debug)]
pub struct Credential {
    access_key: String,
    secret: SecretKey,
    session_token: Option<SecretKey>,
    /// By scope, newest last. A handful of entries: a search beats a hash.
    keys: RwLock<Vec<(String, SigningKey)>>,
}

/// An access key that can't stand in an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an access key is 1 to 128 visible ASCII characters without '/', ',' and '='")]
pub struct InvalidCredential;

impl Credential {
    /// # Errors
    /// An access key that is empty, over 128 characters, or has characters that delimit the `Authorization` header.
    pub fn new(access_key: impl Into<String>, secret: SecretKey) -> Result<Self, InvalidCredential> {
        let access_key = access_key.into();
        let fits = (1..=128).contains(&access_key.len());
        let clean = access_key
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b',' | b'='));
        if !fits || !clean {
            return Err(InvalidCredential);
        }
        Ok(Self {
            access_key,
            secret,
            session_token: None,
            keys: RwLock::default(),
        })
    }

    /// One that nobody has: what is verified against it takes as long, and is refused whatever comes out.
    pub(crate) fn nobody() -> Self {
        Self {
            access_key: String::new(),
            secret: SecretKey::new(""),
            session_token: None,
            keys: RwLock::default(),
        }
    }

    /// A temporary credential: the token is sent along with, and demanded from, every request.
    #[must_use]
    pub fn with_session_token(self, token: SecretKey) -> Self {
        Self {
            session_token: Some(token),
            ..self
        }
    }

    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    pub fn session_token(&self) -> Option<&SecretKey> {
        self.session_token.as_ref()
    }

    /// The key for `scope`: a remembered one, or derived anew (four HMACs) and not remembered yet.
    pub fn signing_key(&self, scope: &Scope<'_>) -> SigningKey {
        self.recall(scope.text)
            .unwrap_or_else(|| SigningKey::derive(&self.secret, scope))
    }

    /// Whether `signature`, in base64, is this secret's HMAC-SHA1 of `text`: Signature Version 2. Takes as long wherever they
    /// differ.
    pub(crate) fn signs_v2(&self, text: &[u8], signature: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.expose().as_bytes());
        let signature = STANDARD.decode(signature).unwrap_or_default();
        hmac::verify(&key, text, &signature).is_ok()
    }

    /// Remembers a key that signed, or that verified a signature: a stranger's made-up scopes must not fill the memory.
    pub fn remember(&self, scope: &str, key: &SigningKey) {
        if self.recall(scope).is_some() {
            return;
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().any(|(of, _)| of == scope) {
            return;
        }
        if keys.len() >= KEPT {
            keys.remove(0);
        }
        keys.push((scope.to_owned(), key.share()));
    }

    fn recall(&self, scope: &str) -> Option<SigningKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter()
            .rev()
            .find(|(of, _)| of == scope)
            .map(|(_, key)| key.share())
    }
}

/// A credential scope: `20130524/us-east-1/s3/aws4_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    pub text: &'a str,
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

impl<'a> Scope<'a> {
    /// `None` unless it has the four components and ends in `aws4_request`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let (date, region, service) = (parts.next()?, parts.next()?, parts.next()?);
        (parts.next()? == "aws4_request" && parts.next().is_none()).then_some(Self {
            text,
            date,
            region,
            service,
        })
    }
}

/// A key for one credential, day, region and service. The cryptography library wipes it when it is dropped.
pub struct SigningKey(Arc<hmac::Key>);

impl SigningKey {
    fn derive(secret: &SecretKey, scope: &Scope<'_>) -> Self {
        let mut start = Zeroizing::new(Vec::with_capacity(4 + secret.expose().len()));
        start.extend_from_slice(b"AWS4");
        start.extend_from_slice(secret.expose().as_bytes());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &start);
        for step in [scope.date, scope.region, scope.service, "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, step.as_bytes()).as_ref());
        }
        Self(Arc::new(key))
    }

    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// The key itself, to sign the frames of an aws-chunked body.
    pub(crate) fn hmac(&self) -> Arc<hmac::Key> {
        Arc::clone(&self.0)
    }

    /// Signs the string to sign: algorithm, timestamp, scope, hash of the canonical request.
    pub fn sign(&self, timestamp: &Timestamp, scope: &str, canonical_request: &[u8; 32]) -> Signature {
        let mut hash = [0; 64];
        let mut hmac = hmac::Context::with_key(&self.0);
        for part in [
            ALGORITHM,
            "\n",
            timestamp.as_str(),
            "\n",
            scope,
            "\n",
            hex_into(canonical_request, &mut hash),
        ] {
            hmac.update(part.as_bytes());
        }
        Signature::of(&hmac.sign())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A signature as it travels: 64 lower-case hexadecimal digits. Boxed, because what is freed is wiped, and what a function leaves on a
/// worker's stack is not.
pub struct Signature(Box<[u8; 64]>);

impl Signature {
    fn of(tag: &hmac::Tag) -> Self {
        let mut text = Box::new([0; 64]);
        hex_into(tag.as_ref(), &mut text);
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&*self.0).unwrap_or_default()
    }

    pub(crate) fn digits(&self) -> &[u8; 64] {
        &self.0
    }

    /// Whether the client's signature is this one. Takes as long wherever they differ; upper-case digits are not it.
    pub fn is(&self, claimed: &str) -> bool {
        verify_slices_are_equal(&*self.0, claimed.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(…)")
    }
}

/// A moment as SigV4 spells it, to the second: `20130524T000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    text: [u8; 16],
    moment: OffsetDateTime,
}

impl Timestamp {
    /// Moments that have no four-digit year become 1970, which every verifier refuses.
    pub fn at(moment: SystemTime) -> Self {
        let seconds = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let moment = i64::try_from(seconds)
            .ok()
            .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
        Self::from(moment.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// `None` unless it is a real moment in just this form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse::<u16>().ok())?
        };
        let small = |from: usize| number(from, from + 2).and_then(|n| u8::try_from(n).ok());
        let month = Month::try_from(small(4)?).ok()?;
        let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6)?).ok()?;
        let moment = date.with_hms(small(9)?, small(11)?, small(13)?).ok()?.assume_utc();
        Some(Self { text: bytes, moment })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The day, as the scope has it: `20130524`.
    pub fn date(&self) -> &str {
        self.as_str().get(..8).unwrap_or_default()
    }

    pub fn moment(&self) -> SystemTime {
        // Moments before 1970 count as 1970: refused for their skew all the same.
        let seconds = u64::try_from(self.moment.unix_timestamp()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(moment: OffsetDateTime) -> Self {
        let mut text = *b"00000000T000000Z";
        let mut put = |at: usize, digits: usize, mut value: u32| {
            for place in text.iter_mut().skip(at).take(digits).rev() {
                *place = DIGITS[(value % 10) as usize];
                value /= 10;
            }
        };
        put(0, 4, moment.year().unsigned_abs());
        put(4, 2, u32::from(u8::from(moment.month())));
        put(6, 2, u32::from(moment.day()));
        put(9, 2, u32::from(moment.hour()));
        put(11, 2, u32::from(moment.minute()));
        put(13, 2, u32::from(moment.second()));
        Self { text, moment }
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes `bytes` (32 at most) as lower-case hexadecimal digits.
pub(crate) fn hex_into<'a>(bytes: &[u8], text: &'a mut [u8; 64]) -> &'a str {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    std::str::from_utf8(text).unwrap_or_default()
}
