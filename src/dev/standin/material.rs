//! What a key consists of: RSA, or in a Managed HSM 256 bits of AES too. Like a vault's, it never leaves its file and this module.
//! Of keys that no gate can use there is only what a vault shows of them.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::dev::files::write_private;
use crate::dev::standin::rsa::{BadInput, Bits, RsaError, RsaKey, WrapAlgorithm};

/// The only length of a symmetric key that the stand-in makes, in bits. The real one has 128 and 192 too.
pub const AES_BITS: u64 = 256;

/// A key's secret half.
pub enum Material {
    Rsa(RsaKey),
    Aes(Zeroizing<[u8; 32]>),
    /// A key of another type or size than a gate takes: its public half, as it stands in a JSON Web Key.
    Other(Value),
}

/// What `wrapkey` and `unwrapkey` are asked to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rsa(WrapAlgorithm),
    /// AES key wrap (RFC 3394) under 256 bits.
    A256Kw,
}

impl Algorithm {
    /// From the name in a request's `alg`.
    pub fn new(name: &str) -> Option<Self> {
        match name {
            "A256KW" => Some(Self::A256Kw),
            name => WrapAlgorithm::new(name).map(Self::Rsa),
        }
    }
}

impl Material {
    /// An elliptic curve's key, which signs: the public half of RFC 7517's example (appendix A.1).
    pub fn elliptic() -> Self {
        Self::Other(json!({
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        }))
    }

    /// RSA with a modulus of 1024 bits. Key Vault makes none; whoever stands in for it might.
    pub fn short_rsa() -> Self {
        Self::Other(json!({"n": URL_SAFE_NO_PAD.encode([0xc5; 128]), "e": "AQAB"}))
    }

    /// A new symmetric key.
    pub fn symmetric() -> Result<Self, RsaError> {
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut_slice()).map_err(|_| RsaError::Generate)?;
        Ok(Self::Aes(key))
    }

    /// A new key of the same kind and size.
    pub fn like(&self) -> Result<Self, RsaError> {
        match self {
            Self::Rsa(rsa) => Ok(RsaKey::generate(rsa.bits().unwrap_or(Bits::Rsa2048))?.into()),
            Self::Aes(_) => Self::symmetric(),
            Self::Other(public) => Ok(Self::Other(public.clone())),
        }
    }

    /// Reads a version's key back from `dir`.
    pub fn open(dir: &Path, version: &str) -> Result<Self, RsaError> {
        let (rsa, aes) = (rsa_file(dir, version), aes_file(dir, version));
        let other = other_file(dir, version);
        if other.exists() {
            let bytes = fs::read(&other).map_err(|source| RsaError::File {
                path: other.clone(),
                source,
            })?;
            let public = serde_json::from_slice(&bytes).map_err(|_| RsaError::NotAKey { path: other })?;
            return Ok(Self::Other(public));
        }
        if !aes.exists() {
            return RsaKey::open(&rsa).map(Self::Rsa);
        }
        let text = Zeroizing::new(fs::read(&aes).map_err(|source| RsaError::File {
            path: aes.clone(),
            source,
        })?);
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.as_slice(), key.as_mut_slice()).map_err(|_| RsaError::NotAKey { path: aes })?;
        Ok(Self::Aes(key))
    }

    /// Writes a version's key below `dir`, mode 0600.
    pub fn save(&self, dir: &Path, version: &str) -> Result<(), RsaError> {
        match self {
            Self::Rsa(rsa) => rsa.save(&rsa_file(dir, version)),
            Self::Aes(key) => {
                let path = aes_file(dir, version);
                let text = Zeroizing::new(hex::encode(key.as_slice()));
                write_private(&path, text.as_bytes()).map_err(|source| RsaError::File { path, source })
            }
            Self::Other(public) => {
                let path = other_file(dir, version);
                write_private(&path, public.to_string().as_bytes()).map_err(|source| RsaError::File { path, source })
            }
        }
    }

    /// Removes a purged version's file. One that can't be removed is reported by nobody: nothing refers to it any more.
    pub fn remove(dir: &Path, version: &str) {
        let _ = fs::remove_file(rsa_file(dir, version));
        let _ = fs::remove_file(aes_file(dir, version));
        let _ = fs::remove_file(other_file(dir, version));
    }

    /// The public half as it stands in a JSON Web Key; of a symmetric key there is none.
    pub fn public(&self) -> Value {
        match self {
            Self::Rsa(rsa) => json!({"n": rsa.modulus(), "e": rsa.exponent()}),
            Self::Aes(_) => json!({}),
            Self::Other(public) => public.clone(),
        }
    }

    /// Wraps; bad input where the algorithm is not one of this kind of key.
    pub fn wrap(&self, algorithm: Algorithm, plaintext: &[u8]) -> Result<Vec<u8>, BadInput> {
        match (self, algorithm) {
            (Self::Rsa(rsa), Algorithm::Rsa(padding)) => rsa.wrap(padding, plaintext),
            (Self::Aes(key), Algorithm::A256Kw) => {
                let mut wrapped = vec![0; plaintext.len() + 8];
                let length = kek(key)?.wrap(plaintext, &mut wrapped).map_err(|_| BadInput)?.len();
                wrapped.truncate(length);
                Ok(wrapped)
            }
            _ => Err(BadInput),
        }
    }

    /// Unwraps.
    pub fn unwrap(&self, algorithm: Algorithm, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadInput> {
        match (self, algorithm) {
            (Self::Rsa(rsa), Algorithm::Rsa(padding)) => rsa.unwrap(padding, ciphertext),
            (Self::Aes(key), Algorithm::A256Kw) => {
                let mut plaintext = Zeroizing::new(vec![0; ciphertext.len()]);
                let unwrapped = kek(key)?.unwrap(ciphertext, &mut plaintext);
                let length = unwrapped.map_err(|_| BadInput)?.len();
                plaintext.truncate(length);
                Ok(plaintext)
            }
            _ => Err(BadInput),
        }
    }
}

impl From<RsaKey> for Material {
    fn from(rsa: RsaKey) -> Self {
        Self::Rsa(rsa)
    }
}

fn kek(key: &[u8; 32]) -> Result<AesKek, BadInput> {
    AesKek::new(&AES_256, key).map_err(|_| BadInput)
}

fn rsa_file(dir: &Path, version: &str) -> PathBuf {
    dir.join("rsa").join(format!("{version}.pem"))
}

fn aes_file(dir: &Path, version: &str) -> PathBuf {
    dir.join("rsa").join(format!("{version}.aes"))
}

fn other_file(dir: &Path, version: &str) -> PathBuf {
    dir.join("rsa").join(format!("{version}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3394 section 4.6: 256 bits of key data under a key of 256 bits.
    #[test]
    fn symmetric_keys_wrap_as_the_standard_says() {
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.iter_mut().zip(0..).for_each(|(byte, at)| *byte = at);
        let key = Material::Aes(bytes);
        let data = hex::decode("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f").unwrap();
        let mut wrapped = key.wrap(Algorithm::A256Kw, &data).unwrap();
        let known = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21";
        assert_eq!(hex::encode(&wrapped), known);
        assert_eq!(key.unwrap(Algorithm::A256Kw, &wrapped).unwrap().as_slice(), data);
        wrapped[7] ^= 1;
        assert!(key.unwrap(Algorithm::A256Kw, &wrapped).is_err());
        assert!(key.wrap(Algorithm::Rsa(WrapAlgorithm::Oaep256), &data).is_err());
    }
}
