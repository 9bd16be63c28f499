//! A second implementation, on other crates (RustCrypto), written from the format's page alone and sharing no line with
//! the first: slow, plain, all in memory. Each opens what the other seals.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::{PLACE, TENANT, dek, opened_whole, pattern, sealed_whole};
use crate::seal::envelope::tests::{envelope, secrets};
use crate::seal::{CORE_LEN, Core, Domain, Envelope, Header, Place, open_segment};

pub(super) struct Keys {
    pub(super) segment: [u8; 32],
    pub(super) commitment: [u8; 32],
    pub(super) metadata: [u8; 32],
    pub(super) alias: [u8; 32],
}

pub(super) fn law(plain: u64) -> u64 {
    let chunks = std::cmp::max(1, plain.div_ceil(65_536));
    let parts = std::cmp::min(plain / (5 * 1024 * 1024), 10_000);
    plain + 16 * chunks + 704 + if parts > 0 { 896 * (parts + 1) } else { 0 }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn context(fields: &[&[u8]]) -> [u8; 32] {
    let mut all = Vec::new();
    for field in fields {
        all.extend_from_slice(&(field.len() as u32).to_be_bytes());
        all.extend_from_slice(field);
    }
    sha256(&all)
}

pub(super) fn dek_id(dek: &[u8]) -> [u8; 16] {
    let mut id = [0; 16];
    Hkdf::<Sha256>::new(None, dek)
        .expand(b"portcullis v1 dek id", &mut id)
        .unwrap();
    id
}

pub(super) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

pub(super) fn origin(secret: &[u8], tenant: &str, dek_id: &[u8], envelope: &[u8]) -> [u8; 16] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, secret)
        .expand(b"portcullis v1 origin", &mut key)
        .unwrap();
    let mut message = b"portcullis v1 origin".to_vec();
    message.extend_from_slice(&(tenant.len() as u32).to_be_bytes());
    message.extend_from_slice(tenant.as_bytes());
    message.extend_from_slice(dek_id);
    message.extend_from_slice(&envelope[..547]);
    hmac(&key, &message)[..16].try_into().unwrap()
}

pub(super) fn derive(dek: &[u8], tenant: &str, core: &[u8]) -> Keys {
    let mut info = b"portcullis v1".to_vec();
    info.extend_from_slice(&(tenant.len() as u32).to_be_bytes());
    info.extend_from_slice(tenant.as_bytes());
    info.extend_from_slice(&sha256(&core[..104]));
    let mut okm = [0; 128];
    Hkdf::<Sha256>::new(Some(&core[40..72]), dek)
        .expand(&info, &mut okm)
        .unwrap();
    let cut = |at: usize| okm[at..at + 32].try_into().unwrap();
    Keys {
        segment: cut(0),
        commitment: cut(32),
        metadata: cut(64),
        alias: cut(96),
    }
}

fn nonce(index: usize, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&(index as u64).to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

/// A segment: its header, and its chunks.
#[allow(clippy::too_many_arguments)]
pub(super) fn seal_segment(
    dek: &[u8],
    tenant: &str,
    kind: u8,
    count: u32,
    plain_len: u64,
    salt: &[u8; 32],
    binding: &[u8; 32],
    envelope: &[u8],
    content: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let mut header = b"\x8ePORTCUL\x01".to_vec();
    header.push(kind);
    header.extend_from_slice(&[0, 0]);
    header.extend_from_slice(&count.to_be_bytes());
    header.extend_from_slice(&plain_len.to_be_bytes());
    header.extend_from_slice(&dek_id(dek));
    header.extend_from_slice(salt);
    header.extend_from_slice(binding);
    assert_eq!(header.len(), 104);
    let keys = derive(dek, tenant, &header);
    header.extend_from_slice(&keys.commitment);
    header.extend_from_slice(envelope);
    assert_eq!(header.len(), 704);

    let cipher = Aes256Gcm::new_from_slice(&keys.segment).unwrap();
    let mut pieces: Vec<&[u8]> = content.chunks(65_536).collect();
    if pieces.is_empty() {
        pieces.push(&[]);
    }
    let mut chunks = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let nonce = Nonce::from(nonce(index, index + 1 == pieces.len()));
        chunks.extend(cipher.encrypt(&nonce, *piece).unwrap());
    }
    (header, chunks)
}

/// Opens the chunks of a segment, all `stored` of them, with nothing behind.
pub(super) fn open_chunks(dek: &[u8], tenant: &str, header: &[u8], stored: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(header.len(), 704);
    if &header[..9] != b"\x8ePORTCUL\x01" || header[24..40] != dek_id(dek) {
        return None;
    }
    let keys = derive(dek, tenant, header);
    if keys.commitment != header[104..136] {
        return None;
    }
    let cipher = Aes256Gcm::new_from_slice(&keys.segment).unwrap();
    let pieces: Vec<&[u8]> = stored.chunks(65_552).collect();
    let mut content = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let nonce = Nonce::from(nonce(index, index + 1 == pieces.len()));
        content.extend(cipher.decrypt(&nonce, *piece).ok()?);
    }
    (!pieces.is_empty()).then_some(content)
}

pub(super) fn seal_whole(
    dek: &[u8],
    tenant: &str,
    fields: [&[u8]; 3],
    salt: &[u8; 32],
    envelope: &[u8],
    content: &[u8],
) -> Vec<u8> {
    let binding = context(&fields);
    let len = content.len() as u64;
    let (mut stored, chunks) = seal_segment(dek, tenant, 1, 0, len, salt, &binding, envelope, content);
    stored.extend(chunks);
    stored.resize(law(len) as usize, 0);
    stored
}

pub(super) fn open_whole(dek: &[u8], tenant: &str, fields: [&[u8]; 3], stored: &[u8]) -> Option<Vec<u8>> {
    let header = stored.get(..704)?;
    let len = u64::from_be_bytes(header[16..24].try_into().unwrap());
    if header[9] != 1 || header[72..104] != context(&fields) || law(len) != stored.len() as u64 {
        return None;
    }
    let end = 704 + len as usize + 16 * std::cmp::max(1, len.div_ceil(65_536) as usize);
    let content = open_chunks(dek, tenant, header, &stored[704..end])?;
    (content.len() as u64 == len && stored[end..].iter().all(|byte| *byte == 0)).then_some(content)
}

/// Opens a value of sealed metadata.
pub(super) fn open_metadata(key: &[u8; 32], label: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = bytes.split_at_checked(12)?;
    let nonce = Nonce::from(<[u8; 12]>::try_from(nonce).unwrap());
    let cipher = Aes256Gcm::new_from_slice(key).unwrap();
    cipher
        .decrypt(
            &nonce,
            Payload {
                msg: sealed,
                aad: label.as_bytes(),
            },
        )
        .ok()
}

const FIELDS: [&[u8]; 3] = [b"s3 object", b"photos", b"2026/cat.jpg"];
const LENGTHS: [usize; 9] = [0, 1, 65_535, 65_536, 65_537, 131_072, 131_073, (5 << 20) - 1, 5 << 20];

#[test]
fn it_opens_what_we_seal() {
    for len in LENGTHS {
        let plaintext = pattern(len);
        let stored = sealed_whole(&dek(), TENANT, &PLACE, &plaintext);
        assert!(
            open_whole(&[0x11; 32], TENANT, FIELDS, &stored) == Some(plaintext),
            "{len}"
        );
    }
}

#[test]
fn we_open_what_it_seals() {
    let envelope = envelope(&dek(), TENANT).to_bytes();
    for len in LENGTHS {
        let plaintext = pattern(len);
        let stored = seal_whole(&[0x11; 32], TENANT, FIELDS, &[0x77; 32], &envelope, &plaintext);
        assert!(opened_whole(&dek(), TENANT, &PLACE, &stored) == Ok(plaintext), "{len}");
    }
}

#[test]
fn both_make_the_same_origin_alias_and_metadata() {
    let made = envelope(&dek(), TENANT);
    let mut bytes = made.to_bytes();
    assert_eq!(made.origin(), &origin(&[9; 32], TENANT, &dek_id(&[0x11; 32]), &bytes));
    let theirs = origin(&[9; 32], TENANT, dek().id().as_bytes(), &bytes);
    bytes[547..563].copy_from_slice(&theirs);
    assert_eq!(
        secrets().verify(TENANT, dek().id(), &Envelope::parse(&bytes).unwrap()),
        Ok(())
    );

    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"");
    let header = Header::parse(&stored[..704]).unwrap();
    let opener = open_segment(&dek(), TENANT, header.core()).unwrap();
    let keys = derive(&[0x11; 32], TENANT, &stored);

    let copy = Place {
        domain: Domain::Azure,
        container: "c",
        name: "n",
    };
    let theirs = hmac(&keys.alias, &context(&[b"azure object", b"c", b"n"]));
    assert_eq!(opener.alias_key().alias(&copy).to_string(), base64(&theirs));

    let ours = opener.metadata_key().seal("checksums", b"value").unwrap();
    assert_eq!(
        open_metadata(&keys.metadata, "checksums", &unbase64(&ours)),
        Some(b"value".to_vec())
    );
    assert_eq!(Core::from_text(&base64(&stored[..CORE_LEN])), Ok(*header.core()));
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn unbase64(text: &str) -> Vec<u8> {
    use ::base64::Engine as _;
    ::base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
}
