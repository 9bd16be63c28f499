//! Checksums of the plaintext, as a client is told: in headers, and in XML.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::body::checksum::Algorithm;
use crate::seal::{Checksum, ChecksumKind, Checksums};

const TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");

/// Sets `x-amz-checksum-…` and its type. S3 knows an object's checksums of one type only; of the whole plaintext's and those
/// composed of its parts', the former prove more.
pub(super) fn tell(checksums: &Checksums, headers: &mut HeaderMap) {
    for checksum in of_one_type(checksums) {
        if let Some(algorithm) = algorithm(checksum.kind)
            && let Ok(value) = HeaderValue::try_from(text(&checksum))
        {
            headers.insert(algorithm.header(), value);
            headers.insert(TYPE, HeaderValue::from_static(type_of(&checksum)));
        }
    }
}

/// The `Checksum` element of GetObjectAttributes; none where nothing is known.
pub(super) fn xml(checksums: &Checksums) -> Option<String> {
    let told: Vec<_> = of_one_type(checksums)
        .filter_map(|checksum| Some((algorithm(checksum.kind)?, checksum)))
        .collect();
    let (_, first) = told.first()?;
    let values = told.iter().map(|(algorithm, checksum)| {
        // `Checksum` and the algorithm's name, for all of them.
        let name = algorithm.name();
        format!("<Checksum{name}>{}</Checksum{name}>", text(checksum))
    });
    let values: String = values.collect();
    let kind = type_of(first);
    Some(format!(
        "<Checksum>{values}<ChecksumType>{kind}</ChecksumType></Checksum>"
    ))
}

fn of_one_type(checksums: &Checksums) -> impl Iterator<Item = Checksum<'_>> {
    let whole = checksums
        .iter()
        .any(|checksum| is_told(&checksum) && checksum.parts.is_none());
    checksums
        .iter()
        .filter(move |checksum| checksum.parts.is_none() == whole)
}

fn is_told(checksum: &Checksum<'_>) -> bool {
    algorithm(checksum.kind).is_some()
}

fn text(checksum: &Checksum<'_>) -> String {
    let value = STANDARD.encode(checksum.value);
    match checksum.parts {
        Some(parts) => format!("{value}-{parts}"),
        None => value,
    }
}

fn type_of(checksum: &Checksum<'_>) -> &'static str {
    match checksum.parts {
        Some(_) => "COMPOSITE",
        None => "FULL_OBJECT",
    }
}

fn algorithm(kind: ChecksumKind) -> Option<Algorithm> {
    Some(match kind {
        ChecksumKind::Md5 => Algorithm::Md5,
        ChecksumKind::Crc32 => Algorithm::Crc32,
        ChecksumKind::Crc32c => Algorithm::Crc32c,
        ChecksumKind::Crc64Nvme => Algorithm::Crc64Nvme,
        ChecksumKind::Sha1 => Algorithm::Sha1,
        ChecksumKind::Sha256 => Algorithm::Sha256,
        ChecksumKind::Sha512 => Algorithm::Sha512,
        ChecksumKind::XxHash64 => Algorithm::XxHash64,
        ChecksumKind::XxHash3 => Algorithm::XxHash3,
        ChecksumKind::XxHash128 => Algorithm::XxHash128,
        // A client's word that nobody checked is Azure's to repeat.
        ChecksumKind::ClaimedMd5 => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(parts: Option<u32>) -> Checksum<'static> {
        Checksum {
            kind: ChecksumKind::Crc32,
            parts,
            value: &[0, 0, 0, 1],
        }
    }

    #[test]
    fn of_both_types_the_whole_plaintexts_is_told() {
        let mut checksums = Checksums::default();
        checksums.add(crc(Some(3))).unwrap();
        let mut headers = HeaderMap::new();
        tell(&checksums, &mut headers);
        assert_eq!(headers["x-amz-checksum-crc32"], "AAAAAQ==-3");
        assert_eq!(headers[TYPE], "COMPOSITE");
        checksums.add(crc(None)).unwrap();
        let mut headers = HeaderMap::new();
        tell(&checksums, &mut headers);
        assert_eq!(headers["x-amz-checksum-crc32"], "AAAAAQ==");
        assert_eq!(headers[TYPE], "FULL_OBJECT");
        let xml = xml(&checksums).unwrap();
        assert_eq!(
            xml,
            "<Checksum><ChecksumCRC32>AAAAAQ==</ChecksumCRC32><ChecksumType>FULL_OBJECT</ChecksumType></Checksum>"
        );
    }

    #[test]
    fn what_nobody_checked_is_not_told() {
        let mut checksums = Checksums::default();
        let claimed = Checksum {
            kind: ChecksumKind::ClaimedMd5,
            parts: None,
            value: &[0; 16],
        };
        checksums.add(claimed).unwrap();
        assert_eq!(xml(&checksums), None);
        checksums.add(crc(Some(2))).unwrap();
        assert!(xml(&checksums).is_some_and(|xml| xml.contains("COMPOSITE")));
    }
}
