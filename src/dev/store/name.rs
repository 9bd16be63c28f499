//! Names: the file an object's bytes lie in, and the random names of uploads and temporary files.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays readable in a file name. `~` does not, so that it can mark a shortened name.
const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// File systems allow 255 bytes; a record's name adds `.json.next`.
const LONGEST: usize = 240;
/// How much of a long key stays readable before the hash.
const PREFIX: usize = 160;

/// The name below `objects/<bucket>/` of the object `key`: percent-encoded, so flat and readable; a key too long for a
/// file name keeps its beginning, then `~` and the SHA-256 of the key in hex. Never starts with a dot.
///
/// Two keys that differ only in case need a file system that tells case apart.
#[must_use]
pub fn file_name(key: &str) -> String {
    let mut name = utf8_percent_encode(key, &KEPT).to_string();
    if name.starts_with('.') {
        name.replace_range(..1, "%2E");
    }
    if name.len() > LONGEST {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        name.truncate(whole_escapes(&name));
        name.push('~');
        name.push_str(&hex::encode(hash));
    }
    name
}

/// 32 random hex digits.
pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    // It can fail only where the system has no source of randomness at all; a name from the clock is good enough then.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes = time::OffsetDateTime::now_utc().unix_timestamp_nanos().to_be_bytes();
    }
    hex::encode(bytes)
}

/// An upload id. Ids sort by age, as S3 lists the uploads of one key oldest first.
pub(super) fn upload_id() -> String {
    let nanos = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
    format!("{nanos:020x}{}", random())
}

/// The longest cut of `name` within [`PREFIX`] that does not split a `%XX`.
fn whole_escapes(name: &str) -> usize {
    match name.get(..PREFIX).and_then(|cut| cut.rfind('%')) {
        Some(at) if at + 3 > PREFIX => at,
        _ => PREFIX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_readable_and_flat() {
        assert_eq!(file_name("reports/2024.csv"), "reports%2F2024.csv");
        assert_eq!(file_name("."), "%2E");
        assert_eq!(file_name("../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd");
        assert_eq!(file_name("a~b c\0ü"), "a%7Eb%20c%00%C3%BC");
    }

    #[test]
    fn long_keys_get_a_hash_and_whole_escapes() {
        for lead in 0..4 {
            let key = format!("{}{}", "x".repeat(lead), "/".repeat(1000));
            let name = file_name(&key);
            assert!(name.len() <= LONGEST);
            let (prefix, hash) = name.split_once('~').unwrap();
            assert_eq!(hash.len(), 64);
            assert!(
                percent_encoding::percent_decode_str(prefix)
                    .decode_utf8()
                    .unwrap()
                    .chars()
                    .all(|c| "x/".contains(c))
            );
            assert!(!prefix.ends_with('%') && !prefix.ends_with("%2"));
        }
        assert_ne!(file_name(&"a".repeat(500)), file_name(&"a".repeat(501)));
    }

    proptest! {
        #[test]
        fn different_keys_have_different_files(a in ".{0,400}", b in ".{0,400}") {
            prop_assert_eq!(a == b, file_name(&a) == file_name(&b));
            prop_assert!(file_name(&a).len() <= LONGEST && !file_name(&a).contains('/') && !file_name(&a).starts_with('.'));
        }
    }
}
