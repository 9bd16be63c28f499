//! Virtual-hosted addresses: the bucket in the host, below a domain that the gate is configured to serve.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::HOST;
use http::request::Parts;

/// The domains below which the first labels of a host name a bucket. None: every request is path-style.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains(Vec<String>);

/// What can't be a domain that buckets stand below.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no domain: letters, digits, '-' and '.', and neither an address nor a port")]
pub struct InvalidDomain(pub String);

impl Domains {
    /// # Errors
    /// One that is empty, an IP address, has a port, or characters that no domain has.
    pub fn new(domains: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, InvalidDomain> {
        let domain = |text: &str| {
            let domain = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
            let label =
                |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let valid = domain.split('.').all(label) && domain.parse::<IpAddr>().is_err();
            valid.then_some(domain).ok_or_else(|| InvalidDomain(text.to_owned()))
        };
        let domains = domains.into_iter().map(|text| domain(text.as_ref()));
        domains.collect::<Result<_, _>>().map(Self)
    }

    /// With one more.
    ///
    /// # Errors
    /// As [`Domains::new`].
    pub fn with(&self, domain: &str) -> Result<Self, InvalidDomain> {
        Self::new(self.0.iter().map(String::as_str).chain([domain]))
    }
}

/// The host that a request names: that of a target in absolute form, or else of the `Host` header. The authenticator refuses
/// two that differ.
pub fn of(parts: &Parts) -> Option<&str> {
    match parts.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => parts.headers.get(HOST)?.to_str().ok(),
    }
}

/// The bucket that a host names, in lower case, which is the case of all bucket names that a host can name. `None` is path
/// style: the domain itself, another's, or an IP address.
///
/// `host` may have a port and a trailing dot. A bucket may have dots; so the longest domain that fits is the one meant, and a host
/// that is itself a domain names no bucket below another.
pub fn bucket_of_host<'a>(host: &'a str, domains: &Domains) -> Option<Cow<'a, str>> {
    let host = without_port(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.parse::<IpAddr>().is_ok() || host.starts_with('[') {
        return None;
    }
    let ends = |domain: &&String| {
        let start = host.len().checked_sub(domain.len())?;
        host.get(start..).filter(|end| end.eq_ignore_ascii_case(domain))?;
        host.get(..start)
    };
    let (_, bucket) = domains
        .0
        .iter()
        .filter_map(|domain| ends(&domain).map(|before| (domain.len(), before)))
        .filter(|(_, before)| before.is_empty() || before.ends_with('.'))
        .max_by_key(|(length, _)| *length)?;
    let bucket = bucket.strip_suffix('.').filter(|bucket| !bucket.is_empty())?;
    Some(match bucket.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(bucket.to_ascii_lowercase()),
        false => Cow::Borrowed(bucket),
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_below_a_domain() {
        let domains = Domains::new(["s3.example.com", "example.com", "LOCALHOST."]).unwrap();
        for (host, bucket) in [
            ("b.s3.example.com", Some("b")),
            ("b.s3.example.com:9000", Some("b")),
            ("b.s3.example.com.:9000", Some("b")),
            ("B.S3.Example.COM", Some("b")),
            ("b.with.dots.s3.example.com", Some("b.with.dots")),
            ("b.example.com", Some("b")),
            ("b.localhost:8080", Some("b")),
            ("s3.example.com", None),
            ("s3.example.com.", None),
            ("example.com:443", None),
            (".s3.example.com", None),
            ("bs3.example.co", None),
            ("notexample.com", None),
            ("b.s3.example.com.evil.org", None),
            ("127.0.0.1:9000", None),
            ("[::1]:9000", None),
            ("::1", None),
            ("", None),
        ] {
            assert_eq!(bucket_of_host(host, &domains).as_deref(), bucket, "{host}");
        }
        assert_eq!(bucket_of_host("b.s3.example.com", &Domains::default()), None);
    }

    #[test]
    fn domains_are_names() {
        for wrong in [
            "",
            ".",
            "a..b",
            "*.example.com",
            "127.0.0.1",
            "example.com:9000",
            "ex ample",
            "http://x",
        ] {
            assert_eq!(Domains::new([wrong]), Err(InvalidDomain(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let request = http::Request::builder()
            .uri("http://b.example.com/k")
            .header("host", "b.example.com");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(of(&parts), Some("b.example.com"));
        let (parts, ()) = http::Request::builder().uri("/k").body(()).unwrap().into_parts();
        assert_eq!(of(&parts), None);
    }
}
