//! Real RSA: the customers' keys, wrapping and unwrapping as Key Vault does, kept as PKCS#8 (0600).

use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::dev::files::write_private;

/// A private key of the stand-in. Like a vault's, it never leaves its file and this type.
pub struct RsaKey {
    private: PrivateDecryptingKey,
    modulus: String,
    exponent: String,
}

/// How long a modulus is, in bits: what Key Vault offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

/// A padding that `wrapkey` and `unwrapkey` accept by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrapAlgorithm {
    /// `RSA-OAEP-256`, the one to use.
    Oaep256,
    /// `RSA-OAEP`, with SHA-1.
    Oaep,
}

/// Why a key can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RsaError {
    #[error("{path}: {source}", path = path.display())]
    File {
        path: std::path::PathBuf,
        source: io::Error,
    },
    #[error("{path} holds no RSA key in PKCS#8", path = path.display())]
    NotAKey { path: std::path::PathBuf },
    #[error("no RSA key could be generated")]
    Generate,
}

/// The input is no ciphertext under this key, or no plaintext that fits it.
#[derive(Debug, PartialEq, Eq)]
pub struct BadInput;

impl Bits {
    /// From the number of bits, as `key_size` has it.
    pub fn new(bits: u64) -> Option<Self> {
        match bits {
            2048 => Some(Self::Rsa2048),
            3072 => Some(Self::Rsa3072),
            4096 => Some(Self::Rsa4096),
            _ => None,
        }
    }

    fn size(self) -> KeySize {
        match self {
            Self::Rsa2048 => KeySize::Rsa2048,
            Self::Rsa3072 => KeySize::Rsa3072,
            Self::Rsa4096 => KeySize::Rsa4096,
        }
    }
}

impl WrapAlgorithm {
    /// From the name in a request's `alg`.
    pub fn new(name: &str) -> Option<Self> {
        match name {
            "RSA-OAEP-256" => Some(Self::Oaep256),
            "RSA-OAEP" => Some(Self::Oaep),
            _ => None,
        }
    }

    fn oaep(self) -> &'static OaepAlgorithm {
        match self {
            Self::Oaep256 => &OAEP_SHA256_MGF1SHA256,
            Self::Oaep => &OAEP_SHA1_MGF1SHA1,
        }
    }
}

impl RsaKey {
    /// Generates a key; tens to hundreds of milliseconds of CPU, so not on a thread that serves.
    pub fn generate(bits: Bits) -> Result<Self, RsaError> {
        let private = PrivateDecryptingKey::generate(bits.size()).map_err(|_| RsaError::Generate)?;
        Self::new(private).ok_or(RsaError::Generate)
    }

    /// Reads a key back.
    pub fn open(path: &Path) -> Result<Self, RsaError> {
        let pem = fs::read(path).map_err(|source| RsaError::File {
            path: path.to_owned(),
            source,
        })?;
        let not_a_key = || RsaError::NotAKey { path: path.to_owned() };
        let der = PrivatePkcs8KeyDer::from_pem_slice(&Zeroizing::new(pem)).map_err(|_| not_a_key())?;
        let private = PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| not_a_key())?;
        Self::new(private).ok_or_else(not_a_key)
    }

    /// Writes the key as PKCS#8 in PEM, mode 0600.
    pub fn save(&self, path: &Path) -> Result<(), RsaError> {
        let pem = self.pem().ok_or_else(|| RsaError::NotAKey { path: path.to_owned() })?;
        write_private(path, pem.as_bytes()).map_err(|source| RsaError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// PKCS#8 in PEM.
    pub fn pem(&self) -> Option<Zeroizing<String>> {
        let der: Pkcs8V1Der<'_> = self.private.as_der().ok()?;
        let base64 = Zeroizing::new(STANDARD.encode(der.as_ref()));
        let mut pem = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
        for (index, digit) in base64.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(digit);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        Some(pem)
    }

    /// How long the modulus is.
    pub fn bits(&self) -> Option<Bits> {
        Bits::new(u64::try_from(self.private.key_size_bits()).ok()?)
    }

    /// The modulus in base64url, as `n` of a JSON Web Key (RFC 7518 section 6.3.1).
    pub fn modulus(&self) -> &str {
        &self.modulus
    }

    /// The public exponent in base64url, as `e` of a JSON Web Key.
    pub fn exponent(&self) -> &str {
        &self.exponent
    }

    /// Wraps with the public half.
    pub fn wrap(&self, algorithm: WrapAlgorithm, plaintext: &[u8]) -> Result<Vec<u8>, BadInput> {
        let public = OaepPublicEncryptingKey::new(self.private.public_key()).map_err(|_| BadInput)?;
        let mut ciphertext = vec![0; public.ciphertext_size()];
        let length = public
            .encrypt(algorithm.oaep(), plaintext, &mut ciphertext, None)
            .map_err(|_| BadInput)?
            .len();
        ciphertext.truncate(length);
        Ok(ciphertext)
    }

    /// Unwraps with the private half.
    pub fn unwrap(&self, algorithm: WrapAlgorithm, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadInput> {
        let private = OaepPrivateDecryptingKey::new(self.private.clone()).map_err(|_| BadInput)?;
        let mut plaintext = Zeroizing::new(vec![0; private.min_output_size()]);
        let length = private
            .decrypt(algorithm.oaep(), ciphertext, &mut plaintext, None)
            .map_err(|_| BadInput)?
            .len();
        plaintext.truncate(length);
        Ok(plaintext)
    }

    fn new(private: PrivateDecryptingKey) -> Option<Self> {
        let der: Pkcs8V1Der<'_> = private.as_der().ok()?;
        let pair = KeyPair::from_pkcs8(der.as_ref()).ok()?;
        let public = pair.public_key();
        let modulus = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let exponent = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        Some(Self {
            private,
            modulus,
            exponent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_read_back_unwraps_what_it_wrapped_before() {
        let path = std::env::temp_dir().join(format!("portcullis-rsa-{}.pem", std::process::id()));
        let key = RsaKey::generate(Bits::Rsa2048).unwrap();
        assert_eq!(key.exponent(), "AQAB");
        let wrapped = key.wrap(WrapAlgorithm::Oaep256, &[7; 32]).unwrap();
        assert_eq!(wrapped.len(), 256);
        key.save(&path).unwrap();

        let again = RsaKey::open(&path).unwrap();
        assert_eq!(again.modulus(), key.modulus());
        assert_eq!(
            again.unwrap(WrapAlgorithm::Oaep256, &wrapped).unwrap().as_slice(),
            &[7; 32]
        );
        assert!(
            again.unwrap(WrapAlgorithm::Oaep, &wrapped).is_err(),
            "another padding is another algorithm"
        );
        assert!(again.unwrap(WrapAlgorithm::Oaep256, &wrapped[1..]).is_err());
        assert!(
            again.wrap(WrapAlgorithm::Oaep256, &[0; 191]).is_err(),
            "longer than the padding allows"
        );
        fs::remove_file(&path).unwrap();
    }
}
