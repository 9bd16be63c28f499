//! Values that the standard library does not read: spans of time, names, endpoints.

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::config::mistake::Fault;

/// A whole number with its unit: `500ms`, `30s`, `10m`, `1h`.
pub(super) fn span(text: &str) -> Result<Duration, Fault> {
    let fault = Fault::Form("a whole number with its unit, like \"500ms\", \"30s\", \"10m\" or \"1h\"");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let Some((number, unit)) = text.split_at_checked(digits) else {
        return Err(fault);
    };
    let Ok(number) = number.parse::<u32>() else {
        return Err(fault);
    };
    let number = u64::from(number);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        "h" => Ok(Duration::from_secs(3600 * number)),
        _ => Err(fault),
    }
}

/// A span within bounds.
pub(super) fn span_within(text: &str, least: Duration, most: Duration) -> Result<Duration, Fault> {
    let span = span(text)?;
    match (least..=most).contains(&span) {
        true => Ok(span),
        false => Err(Fault::Range {
            least: spell(least),
            most: spell(most),
        }),
    }
}

/// A span as [`span`] reads it.
fn spell(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        _ if span.subsec_millis() > 0 => format!("{}ms", span.as_millis()),
        _ if seconds >= 3600 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ if seconds >= 60 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A whole number of bytes with its unit, within bounds: `512KiB`, `64MiB`, `5GiB`.
pub(super) fn size_within(text: &str, least: u64, most: u64) -> Result<u64, Fault> {
    let fault = Fault::Form("a whole number with its unit, like \"512KiB\", \"64MiB\" or \"5GiB\"");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
    let shift = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, shift)| *shift);
    let (Ok(number), Some(shift)) = (number.parse::<u32>(), shift) else {
        return Err(fault);
    };
    let size = u64::from(number) << shift;
    match (least..=most).contains(&size) {
        true => Ok(size),
        false => Err(Fault::Range {
            least: spell_size(least),
            most: spell_size(most),
        }),
    }
}

/// Units of sizes, and the power of two that each is; the largest first.
const SIZES: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// A size as [`size_within`] reads it.
fn spell_size(size: u64) -> String {
    let unit = SIZES.iter().find(|(_, shift)| size.trailing_zeros() >= *shift);
    unit.map_or_else(|| size.to_string(), |(name, shift)| format!("{}{name}", size >> shift))
}

/// A name of the configuration's own. A tenant's also stands in the keyring's object names, as it is.
pub(super) fn name(text: &str) -> Result<(), Fault> {
    let clean = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    match clean && (1..=64).contains(&text.len()) {
        true => Ok(()),
        false => Err(Fault::Form("a name of 1 to 64 letters, digits, '-' and '_'")),
    }
}

/// A bucket's name, by S3's rules for new buckets (Amazon S3 User Guide, "General purpose bucket naming rules").
pub(super) fn bucket(text: &str) -> Result<(), Fault> {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let bytes = text.as_bytes();
    let clean = edge(bytes.first().copied()) && edge(bytes.last().copied()) && text.bytes().all(inner);
    match clean && !text.contains("..") && (3..=63).contains(&text.len()) {
        true => Ok(()),
        false => Err(Fault::Form(
            "a bucket's name: 3 to 63 lower-case letters, digits, '-' and single '.', a letter or digit at both ends",
        )),
    }
}

/// A region's name: a component of SigV4's scope.
pub(super) fn region(text: &str) -> Result<String, Fault> {
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match clean && (1..=64).contains(&text.len()) {
        true => Ok(text.to_owned()),
        false => Err(Fault::Form("a region's name, like \"eu-central-1\"")),
    }
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, Fault> {
    text.parse()
        .map_err(|_| Fault::Form("an IP address and a port, like \"0.0.0.0:9000\" or \"[::]:9000\""))
}

/// Whether two sockets can't listen on both. Port 0 is a new one each time.
pub(super) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (everywhere || one.ip() == other.ip())
}

/// A service's origin: scheme, host and port, nothing more.
pub(super) fn endpoint(text: &str) -> Result<(Scheme, Authority), Fault> {
    const FAULT: Fault =
        Fault::Form("an http or https URL without a path, like \"https://s3.eu-central-1.amazonaws.com\"");
    let parts = text.parse::<Uri>().map_err(|_| FAULT)?.into_parts();
    let bare = parts.path_and_query.is_none_or(|path| path.as_str() == "/");
    match (parts.scheme, parts.authority) {
        (Some(scheme), Some(authority))
            if bare
                && (scheme == Scheme::HTTP || scheme == Scheme::HTTPS)
                && !authority.as_str().contains('@')
                && !authority.host().is_empty() =>
        {
            Ok((scheme, authority))
        }
        _ => Err(FAULT),
    }
}

/// A domain under which vaults lie, like `vault.azure.net`.
pub(super) fn domain(text: &str) -> Result<String, Fault> {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !label.starts_with('-')
    };
    // A single label would allow a whole top-level domain.
    match text.contains('.') && text.split('.').all(label) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Fault::Form("a domain, like \"vault.azure.net\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("1h", 3_600_000)] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)));
            assert_eq!(spell(Duration::from_millis(millis)), text);
        }
        for text in ["", "30", "s", "-1s", "1.5s", "30 s", "1d", "99999999999s", "3é"] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_has_a_unit() {
        for (text, size) in [("512KiB", 512 << 10), ("5MiB", 5 << 20), ("5GiB", 5 << 30)] {
            assert_eq!(size_within(text, 1, 1 << 40), Ok(size));
            assert_eq!(spell_size(size), text);
        }
        for text in ["", "5", "GiB", "5GB", "5 GiB", "-5GiB", "99999999999GiB"] {
            assert!(matches!(size_within(text, 1, 1 << 40), Err(Fault::Form(_))), "{text}");
        }
        assert!(matches!(size_within("6GiB", 1, 5 << 30), Err(Fault::Range { .. })));
    }

    #[test]
    fn an_endpoint_is_an_origin() {
        assert!(endpoint("https://s3.example.com").is_ok());
        assert!(endpoint("http://127.0.0.1:9001/").is_ok());
        for text in [
            "s3.example.com",
            "ftp://s3.example.com",
            "https://s3.example.com/prefix",
            "https://s3.example.com?x",
            "https://key:secret@s3.example.com",
            "https://",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn buckets_are_named_by_the_rules() {
        for name in ["abc", "acme-files", "a.b.c", "1-2"] {
            assert_eq!(bucket(name), Ok(()));
        }
        for name in ["ab", "Acme", "-abc", "abc-", "a..b", "a_b", &"a".repeat(64)] {
            assert!(bucket(name).is_err(), "{name}");
        }
    }

    #[test]
    fn sockets_collide_on_one_port() {
        let collide = |one: &str, other: &str| collide(one.parse().unwrap(), other.parse().unwrap());
        assert!(collide("127.0.0.1:9000", "127.0.0.1:9000"));
        assert!(collide("0.0.0.0:9000", "127.0.0.1:9000"));
        assert!(collide("[::]:9000", "127.0.0.1:9000"));
        assert!(!collide("127.0.0.1:9000", "127.0.0.2:9000"));
        assert!(!collide("127.0.0.1:9000", "127.0.0.1:9001"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
    }
}
