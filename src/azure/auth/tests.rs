//! Requests and SAS made with the official SDK (azure-storage-blob 12.31.1, Python), for the key of 64 sevens.

use http::Request;

use super::*;
use crate::azure::account::tests::accounts;
use crate::azure::operation::Operation as Op;

/// 2026-11-23 22:00:00 UTC.
const NOW: u64 = 1_795_471_200;
const BLOB: &str = "se=2026-11-24T00%3A00%3A00Z&sp=rw&sv=2026-10-06&sr=b&rscc=no&rsct=text/x&sig=8VhtPudmCGBqC6m1gNcdYAgTD1ITo7PJPXOA8eC56EI%3D";
const ACCOUNT: &str = "st=2026-11-23T00%3A00%3A00Z&se=2026-11-24T00%3A00%3A00Z&sp=rl&sip=10.0.0.1-10.0.0.9&spr=https%2Chttp&sv=2026-10-06&ss=b&srt=co&sig=vGIh1mWvd9h3VSt057q/XCLSHW5OyeW5suv0m8G7Xx4%3D";
const DELEGATION: &str = "se=2026-11-24T00%3A00%3A00Z&sp=r&sv=2026-10-06&sr=b&skoid=o&sktid=a0000000-0000-4000-8000-00000000000a&skt=2026-11-23T00%3A00%3A00Z&ske=2026-11-25T00%3A00%3A00Z&sks=b&skv=2026-04-06";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> (Parts, Address) {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let address = Address::of(&parts, &accounts()).unwrap();
    (parts, address)
}

fn verified(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(Verified, Address), AuthError> {
    let (parts, address) = head(method, target, headers);
    Ok((verify(&parts, &address, at(NOW))?, address))
}

/// Whether a SAS permits an operation, for a client at 10.0.0.5 without TLS, now.
fn permits(target: &str, operation: Op, policy: Option<&Policy>) -> Result<Reach, AuthError> {
    let (verified, address) = verified("GET", target, &[])?;
    verified.authorize(operation, &address, policy, [10, 0, 0, 5].into(), false, at(NOW))
}

const SIGNED: [(&str, &str); 7] = [
    ("x-ms-date", "Mon, 23 Nov 2026 22:00:00 GMT"),
    ("x-ms-version", "2026-10-06"),
    ("x-ms-meta-a_1", "x"),
    ("x-ms-meta-a1", "y"),
    ("content-length", "5"),
    ("content-type", "application/octet-stream"),
    ("x-ms-client-request-id", "c"),
];

#[test]
fn a_request_that_the_sdk_signed_is_its_clients() {
    let target = "/acme/acme-1/a%20b?comp=block&blockid=YQ%3D%3D";
    let genuine = "SharedKey acme:U4peg7qMnCDiENzgEyU3p/IWEfWzXmLocRV4S3zFxWc=";
    let with = |change: &[(&'static str, &'static str)], target: &str, authorization: &str| {
        let mut headers = SIGNED.to_vec();
        headers.extend_from_slice(change);
        headers.push(("authorization", authorization));
        verified("PUT", target, &headers).map(|(verified, _)| verified.reads_all())
    };
    assert_eq!(with(&[], target, genuine), Ok(true));
    assert_eq!(with(&[("other", "x")], target, genuine), Ok(true), "not signed");
    for (change, target, authorization) in [
        (&[("x-ms-meta-b", "x")][..], target, genuine),
        (&[("if-match", "*")], target, genuine),
        (&[], "/acme/acme-1/a%20b?comp=block&blockid=Yg%3D%3D", genuine),
        (&[], "/acme/acme-2/a%20b?comp=block&blockid=YQ%3D%3D", genuine),
        (
            &[],
            target,
            "SharedKeyLite acme:U4peg7qMnCDiENzgEyU3p/IWEfWzXmLocRV4S3zFxWc=",
        ),
        (
            &[],
            target,
            "SharedKey globex:U4peg7qMnCDiENzgEyU3p/IWEfWzXmLocRV4S3zFxWc=",
        ),
    ] {
        assert_eq!(
            with(change, target, authorization),
            Err(AuthError::Mismatch),
            "{target} {authorization}"
        );
    }
    assert_eq!(with(&[], target, "Bearer x"), Err(AuthError::Malformed));
    assert_eq!(with(&[], target, "SharedKey x"), Err(AuthError::Malformed));
}

#[test]
fn shared_key_lite_and_both_orders_are_taken() {
    for (scheme, name) in [
        (Scheme::SharedKey, "SharedKey"),
        (Scheme::SharedKeyLite, "SharedKeyLite"),
    ] {
        for order in [Order::Collation, Order::Bytes] {
            let (mut parts, address) = head("PUT", "/acme-secondary/acme-1/b?comp=metadata", &SIGNED);
            let signable = Signable {
                method: &parts.method,
                headers: &parts.headers,
                account: "acme-secondary",
                path: parts.uri.path(),
                query: parts.uri.query().unwrap(),
            };
            let key = AccountKey::of(&crate::azure::account::tests::KEY);
            let signature = key.sign(&signable.text(scheme, order, Plus::Space));
            let authorization = format!("{name} acme:{signature}").parse().unwrap();
            parts.headers.insert(AUTHORIZATION, authorization);
            assert!(verify(&parts, &address, at(NOW)).is_ok(), "{name} {order:?}");
            for (moment, late) in [
                (NOW + 899, false),
                (NOW - 899, false),
                (NOW + 901, true),
                (NOW - 901, true),
            ] {
                let refused = verify(&parts, &address, at(moment)).err();
                assert_eq!(refused, late.then_some(AuthError::Skewed), "{moment}");
            }
        }
    }
    assert_eq!(verified("GET", "/acme/acme-1/b", &[]).err(), Some(AuthError::Missing));
}

#[test]
fn every_kind_of_sas_that_the_sdk_makes_is_taken() {
    let policy = Policy {
        permissions: "r".into(),
        expiry: "2026-11-24".into(),
        ..Policy::default()
    };
    for (path, sas, policy) in [
        ("acme-1/a%20b/%C3%BC", BLOB, None),
        ("acme-1/x", ACCOUNT, None),
        (
            "acme-1/b",
            "snapshot=2026-11-23T00:00:00.0000000Z&se=2026-11-24T00%3A00%3A00Z&sp=r&sv=2026-10-06&sr=bs&sig=AD4iQfpdcSiqlEqhspgXzEbr7E3iGYomTQyiarQmwgk%3D",
            None,
        ),
        (
            "acme-1/b",
            "versionid=2026-11-23T00:00:00.0000000Z&se=2026-11-24T00%3A00%3A00Z&sp=r&sv=2026-10-06&sr=bv&sig=nDWlw6qXjgyy4Ohh129DbxbhEvkAFHl0%2B8Srqyrmduk%3D",
            None,
        ),
        (
            "acme-1/any",
            "se=2026-11-24T00%3A00%3A00Z&sp=rl&sv=2026-10-06&sr=c&ses=sc&sig=DNAq3zanwFPt1gBlnsLhmKc10xjiJy11cvtbNBGK5Pw%3D",
            None,
        ),
        (
            "acme-1/any",
            "sv=2026-10-06&si=pol&sr=c&sig=Qf7kLxnBkebgYhPhyZ/%2BMVINsObYnS0dDgsiX%2BqICyw%3D",
            Some(&policy),
        ),
    ] {
        let target = format!("/acme/{path}?{sas}");
        assert_eq!(permits(&target, Op::GetBlob, policy), Ok(Reach::Full), "{target}");
        assert_eq!(
            permits(&target, Op::DeleteBlob, policy),
            Err(AuthError::Permission),
            "{target}"
        );
    }
}

#[test]
fn a_user_delegation_sas_is_verified_by_the_key_that_the_gate_derives() {
    let plain = format!("/acme/acme-1/b?{DELEGATION}&sig=vORlQX6SFMYAwJEZiqVCdvqM1qapZB8B8oagghmj7js%3D");
    assert_eq!(permits(&plain, Op::GetBlob, None), Ok(Reach::Full));
    let later = plain.replace("ske=2026-11-25", "ske=2026-11-26");
    assert_eq!(
        permits(&later, Op::GetBlob, None),
        Err(AuthError::Mismatch),
        "another key"
    );
    // A SAS that names headers and parameters holds for these only.
    let named = format!(
        "/acme/acme-1/b?comp=metadata&{DELEGATION}&srh=x-ms-client-request-id&srq=comp&sig=0lJhZ1ZnjXPoQ0pHUCEGmV4pHIbP2NiW8NCfK7r0XWU%3D"
    );
    assert!(verified("GET", &named, &[("x-ms-client-request-id", "one")]).is_ok());
    assert_eq!(
        verified("GET", &named, &[("x-ms-client-request-id", "two")]).err(),
        Some(AuthError::Mismatch)
    );
}

/// `o` may read and `w` may write: a SAS that either signs says more than the one may.
#[test]
fn a_user_delegation_sas_goes_no_further_than_whoever_signed_it() {
    let both = DELEGATION.replace("sp=r", "sp=rw");
    let of_reader = format!("/acme/acme-1/b?{both}&sig=2/0%2B/iRZMiU5ozJqE5GlCn40FZeSq1noZmf6n949E94%3D");
    assert_eq!(permits(&of_reader, Op::GetBlob, None), Ok(Reach::Full));
    assert_eq!(permits(&of_reader, Op::PutBlob, None), Err(AuthError::Permission));
    let of_writer = both.replace("skoid=o", "skoid=w");
    let of_writer = format!("/acme/acme-1/b?{of_writer}&sig=BXVFLrvTyZpnY3K0abxgeNoz/eDlkAKS5CnJekHv0yY%3D");
    assert_eq!(permits(&of_writer, Op::PutBlob, None), Ok(Reach::Full));
    assert_eq!(
        permits(&of_writer, Op::DeleteBlob, None),
        Err(AuthError::Permission),
        "sp=rw"
    );
    for (was, is) in [("skoid=w", "skoid=o"), ("00000000000a&skt", "00000000000b&skt")] {
        let other = of_writer.replace(was, is);
        assert_eq!(permits(&other, Op::PutBlob, None), Err(AuthError::Mismatch), "{is}");
    }
}

#[tokio::test]
async fn a_token_is_for_tls_and_for_accounts_that_take_any() {
    let (parts, mut address) = head("GET", "/acme/acme-1/b", &[("authorization", "Bearer x.y.z")]);
    let refused = async |address: &Address, clear| identify(&parts, address, clear, at(NOW)).await.err();
    assert_eq!(refused(&address, false).await, Some(AuthError::TokenInClear));
    assert_eq!(
        refused(&address, true).await,
        Some(AuthError::Token(TokenFault::Malformed))
    );
    let mut account = crate::azure::account::tests::account();
    account.directory = None;
    address.account = std::sync::Arc::new(account);
    assert_eq!(refused(&address, true).await, Some(AuthError::Malformed));
}

#[test]
fn a_sas_goes_no_further_than_it_says() {
    let blob = format!("/acme/acme-1/a%20b/%C3%BC?{BLOB}");
    assert_eq!(permits(&blob, Op::PutBlob, None), Ok(Reach::Full));
    for operation in [
        Op::DeleteBlob,
        Op::ListBlobs,
        Op::SetBlobTags,
        Op::SetContainerAcl,
        Op::ListContainers,
    ] {
        assert_eq!(
            permits(&blob, operation, None),
            Err(AuthError::Permission),
            "{operation:?}"
        );
    }
    for other in [
        blob.replace("%C3%BC", "x"),
        blob.replace("acme-1", "acme-2"),
        blob.replace("sp=rw", "sp=rwd"),
    ] {
        assert_eq!(permits(&other, Op::GetBlob, None), Err(AuthError::Mismatch), "{other}");
    }
    let account = format!("/acme/acme-1/b?{ACCOUNT}");
    assert_eq!(
        permits(&account, Op::ListContainers, None),
        Err(AuthError::ResourceType)
    );
    let (verified, address) = verified("GET", &account, &[]).unwrap();
    let from = |peer: [u8; 4], moment| {
        let read = verified.authorize(Op::GetBlob, &address, None, peer.into(), false, at(moment));
        read.err()
    };
    assert_eq!(from([10, 0, 0, 9], NOW), None);
    assert_eq!(from([10, 0, 0, 10], NOW), Some(AuthError::SourceIp));
    assert_eq!(from([10, 0, 0, 9], NOW + 7200), Some(AuthError::OutOfTime));
    assert_eq!(from([10, 0, 0, 9], NOW - 86_400), Some(AuthError::OutOfTime));
    let policed = "/acme/acme-1/any?sv=2026-10-06&si=pol&sr=c&sig=Qf7kLxnBkebgYhPhyZ/%2BMVINsObYnS0dDgsiX%2BqICyw%3D";
    assert_eq!(
        permits(policed, Op::GetBlob, None),
        Err(AuthError::Policy),
        "taken away meanwhile"
    );
    assert_eq!(
        permits(policed, Op::GetBlob, Some(&Policy::default())),
        Err(AuthError::Malformed),
        "one that never ends"
    );
}
