//! Random identifiers in the shapes Azure gives them, and the moments it writes.

use aws_lc_rs::rand;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A random UUID (version 4), as in request ids.
pub fn uuid() -> String {
    let mut bytes = random::<16>();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let mut text = String::with_capacity(36);
    for (index, digit) in hex.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

/// 32 random hex digits: a key version, or a bearer secret of this run.
pub fn hex32() -> String {
    hex::encode(random::<16>())
}

/// A random number below `bound`, for lifetimes that Entra draws at random. The bias of a remainder does no harm there.
pub fn below(bound: u64) -> u64 {
    u64::from_be_bytes(random()).checked_rem(bound).unwrap_or(0)
}

/// Unix seconds now. The stand-in keeps Azure's time, not the proxy's: its clock is the machine's.
pub fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// `2026-01-31 09:07:41Z`, as Entra writes it in its errors.
pub fn timestamp() -> String {
    let now = OffsetDateTime::now_utc()
        .replace_nanosecond(0)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    now.format(&Rfc3339).unwrap_or_default().replacen('T', " ", 1)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Fails only where the kernel has no random source at all; zeros then collide and show at once.
    let _ = rand::fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_the_shapes_of_azure() {
        let id = uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert_eq!(id.matches('-').count(), 4);
        assert_ne!(uuid(), id);
        assert_eq!(hex32().len(), 32);
        assert!(below(5) < 5);
        assert_eq!(timestamp().len(), "2026-01-31 09:07:41Z".len());
    }
}
