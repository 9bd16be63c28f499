//! Where a bucket lies: the region and the address that a store names when it is asked in the wrong place. The gate goes there
//! itself; no client hears of it, for a client can't go there.
//!
//! How S3 says it: 301, 302, 307 and 308 with `Location` or `x-amz-bucket-region`, and 400 `AuthorizationHeaderMalformed`:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/Redirects.html>.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::header::LOCATION;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Uri};

/// Buckets remembered; beyond that, all are learned anew.
const KEPT: usize = 100_000;
const BUCKET_REGION: &str = "x-amz-bucket-region";

/// A bucket's place, where it is not the configured one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Home {
    /// What requests are signed for.
    pub(super) region: Option<String>,
    /// Where they go.
    pub(super) authority: Option<Authority>,
}

/// The places of all buckets that have answered.
#[derive(Default)]
pub(super) struct Homes(RwLock<HashMap<String, Arc<Home>>>);

impl Homes {
    /// A bucket's place, once it has answered there.
    pub(super) fn of(&self, bucket: &str) -> Option<Arc<Home>> {
        let homes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        homes.get(bucket).cloned()
    }

    pub(super) fn learn(&self, bucket: &str, home: Arc<Home>) {
        let mut homes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if homes.len() >= KEPT {
            homes.clear();
        }
        homes.insert(bucket.to_owned(), home);
    }

    /// The bucket has moved: where it lies is open again.
    pub(super) fn forget(&self, bucket: &str) {
        let mut homes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        homes.remove(bucket);
    }
}

/// Whether the answer may mean that it was the wrong place to ask. `regional`: 400 may mean that too.
pub(super) fn is_elsewhere(status: StatusCode, regional: bool) -> bool {
    (status.is_redirection() && status != StatusCode::NOT_MODIFIED) || (regional && status == StatusCode::BAD_REQUEST)
}

/// Where the answer's head says that the bucket lies, as far as that can be believed: never outside the configured endpoint's
/// own domain, for what goes there bears the gate's signature.
pub(super) fn home(
    status: StatusCode,
    headers: &HeaderMap,
    bucket: &str,
    configured: &Authority,
    configured_region: &str,
) -> Option<Home> {
    let region = headers
        .get(BUCKET_REGION)
        .and_then(|value| value.to_str().ok())
        .filter(|region| is_region(region));
    let location = headers
        .get(LOCATION)
        .filter(|_| status.is_redirection())
        .and_then(|value| value.to_str().ok());
    let moved = region.and_then(|region| in_region(configured, configured_region, region));
    let authority = moved.or_else(|| location.and_then(|location| allowed(location, bucket, configured)));
    let home = Home {
        region: region.filter(|region| *region != configured_region).map(str::to_owned),
        authority: authority.filter(|authority| authority != configured),
    };
    (region.is_some() || home != Home::default()).then_some(home)
}

fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Amazon's endpoint of another region: `s3.eu-central-1.amazonaws.com`, `s3-fips.dualstack.…`. None for an endpoint that is not
/// Amazon's, or whose name has no region (a VPC's own, say): there the address stays.
fn in_region(configured: &Authority, from: &str, to: &str) -> Option<Authority> {
    let host = configured.host();
    if !is_amazons(host) {
        return None;
    }
    let host = if let Some(domain) = host.strip_prefix("s3.amazonaws.") {
        format!("s3.{to}.amazonaws.{domain}")
    } else if host.ends_with(".vpce.amazonaws.com") || !host.split('.').any(|label| label == from) {
        return None;
    } else {
        let labels: Vec<_> = host
            .split('.')
            .map(|label| if label == from { to } else { label })
            .collect();
        labels.join(".")
    };
    let port = configured.port().map(|port| format!(":{port}")).unwrap_or_default();
    Authority::try_from(host + &port).ok()
}

/// S3's own hosts, and no other service's.
fn is_amazons(host: &str) -> bool {
    let own = host.starts_with("s3.") || host.starts_with("s3-");
    own && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

/// The address in a `Location`, without the bucket before it, if it lies under the configured endpoint.
fn allowed(location: &str, bucket: &str, configured: &Authority) -> Option<Authority> {
    let location: Uri = location.parse().ok()?;
    let authority = location.authority().filter(|named| !named.as_str().contains('@'))?;
    let text = authority.as_str();
    let bare = text.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('.'));
    let authority = Authority::try_from(bare.unwrap_or(text)).ok()?;
    let (host, own) = (
        authority.host().to_ascii_lowercase(),
        configured.host().to_ascii_lowercase(),
    );
    let below = host == own || host.strip_suffix(&own).is_some_and(|before| before.ends_with('.'));
    (below || (is_amazons(&host) && is_amazons(&own))).then_some(authority)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(status: u16, pairs: &[(&'static str, &str)], configured: &str, region: &str) -> Option<Home> {
        let headers = pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::try_from(*value).unwrap()))
            .collect();
        let configured = Authority::try_from(configured).unwrap();
        home(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            "bkt",
            &configured,
            region,
        )
    }

    #[test]
    fn amazon_names_the_region_and_the_address_follows() {
        for (configured, there) in [
            ("s3.us-east-1.amazonaws.com", Some("s3.eu-west-1.amazonaws.com")),
            ("s3.amazonaws.com", Some("s3.eu-west-1.amazonaws.com")),
            (
                "s3-fips.dualstack.us-east-1.amazonaws.com",
                Some("s3-fips.dualstack.eu-west-1.amazonaws.com"),
            ),
            ("s3.us-east-1.amazonaws.com.cn", Some("s3.eu-west-1.amazonaws.com.cn")),
            ("bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com", None),
            ("store.example.com:9000", None),
        ] {
            let home = read(301, &[(BUCKET_REGION, "eu-west-1")], configured, "us-east-1").unwrap();
            assert_eq!(home.region.as_deref(), Some("eu-west-1"));
            assert_eq!(home.authority.as_ref().map(Authority::as_str), there, "{configured}");
        }
    }

    #[test]
    fn no_signature_goes_outside_the_configured_domain() {
        let to = |location: &str, configured: &str| {
            let home = read(307, &[("location", location)], configured, "us-east-1");
            home.and_then(|home| home.authority)
                .map(|authority| authority.to_string())
        };
        for (location, configured, there) in [
            ("http://127.0.0.1:9/bkt/k", "127.0.0.1:8", Some("127.0.0.1:9")),
            (
                "https://eu.s3.example.com/bkt",
                "s3.example.com",
                Some("eu.s3.example.com"),
            ),
            (
                "https://bkt.eu.s3.example.com/k",
                "s3.example.com",
                Some("eu.s3.example.com"),
            ),
            (
                "https://bkt.s3.eu-west-1.amazonaws.com/k",
                "s3.amazonaws.com",
                Some("s3.eu-west-1.amazonaws.com"),
            ),
            ("https://evils3.example.com/bkt", "s3.example.com", None),
            ("https://s3.example.com.evil.org/bkt", "s3.example.com", None),
            ("https://user@eu.s3.example.com/bkt", "s3.example.com", None),
            ("https://s3.eu-west-1.amazonaws.com/bkt", "s3.example.com", None),
            (
                "https://x.execute-api.eu-west-1.amazonaws.com/",
                "s3.amazonaws.com",
                None,
            ),
            ("/bkt/k", "s3.example.com", None),
        ] {
            assert_eq!(to(location, configured).as_deref(), there, "{location}");
        }
    }

    #[test]
    fn what_names_no_place_teaches_nothing() {
        assert_eq!(read(400, &[], "s3.amazonaws.com", "us-east-1"), None);
        assert_eq!(
            read(301, &[(BUCKET_REGION, "a b")], "s3.amazonaws.com", "us-east-1"),
            None
        );
        // A Location belongs to a redirection only.
        assert_eq!(
            read(
                201,
                &[("location", "http://s3.amazonaws.com/x")],
                "s3.amazonaws.com",
                "r"
            ),
            None
        );
        // The bucket lies where it was asked for.
        let here = read(
            400,
            &[(BUCKET_REGION, "us-east-1")],
            "s3.us-east-1.amazonaws.com",
            "us-east-1",
        );
        assert_eq!(here, Some(Home::default()));
    }

    #[test]
    fn an_answer_of_not_modified_is_no_redirection() {
        assert!(!is_elsewhere(StatusCode::NOT_MODIFIED, true));
        assert!(is_elsewhere(StatusCode::TEMPORARY_REDIRECT, false));
        assert!(is_elsewhere(StatusCode::BAD_REQUEST, true) && !is_elsewhere(StatusCode::BAD_REQUEST, false));
    }
}
