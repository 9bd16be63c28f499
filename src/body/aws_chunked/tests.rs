//! Published uploads, damaged ones, and every way to cut the transfer in pieces.

use proptest::prelude::*;

use super::*;
use aws_lc_rs::{digest, hmac};
use std::sync::Arc;

const TIMESTAMP: &str = "20130524T000000Z";
const SCOPE: &str = "20130524/us-east-1/s3/aws4_request";

/// The page `sigv4-streaming.html`: 66,560 bytes of `a` in frames of 64 KiB and 1 KiB.
#[test]
fn published_signed_upload_decodes() {
    let framing = signed(
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        false,
        66_560,
    );
    let body = published([
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]);
    let body = [body, b"\r\n".to_vec()].concat();
    assert_eq!(body.len(), 66_824, "the Content-Length of the page");
    let (data, trailers) = decode(framing, &body, &[1000]).unwrap();
    assert_eq!(data, [b'a'; 66_560]);
    assert!(trailers.is_empty());
}

/// The page `sigv4-streaming-trailers.html`, whose line breaks within the trailers are not those that SDKs send.
#[test]
fn published_upload_with_signed_trailer_decodes_with_either_line_break() {
    for line_break in ["\r\n", "\n\r\n"] {
        let framing = signed(
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            true,
            66_560,
        );
        let trailers = [
            "x-amz-checksum-crc32c:sOO8/Q==",
            line_break,
            "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
        ];
        let body = published([
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ]);
        let (data, trailers) = decode(framing, &[body, trailers.concat().into_bytes()].concat(), &[]).unwrap();
        assert_eq!(data.len(), 66_560);
        assert_eq!(trailers["x-amz-checksum-crc32c"], "sOO8/Q==");
    }
}

#[test]
fn every_flipped_byte_of_a_signed_body_is_refused() {
    let body = encode(
        Some("00"),
        &[b"first frame", b"second", b"3"],
        Some("x-amz-checksum-crc32:AAAAAA=="),
    );
    assert!(decode(signed(&"00".repeat(32), true, 18), &body, &[]).is_ok());
    for at in 0..body.len() {
        let mut flipped = body.clone();
        flipped[at] ^= 1;
        assert!(
            decode(signed(&"00".repeat(32), true, 18), &flipped, &[]).is_err(),
            "byte {at}"
        );
    }
}

#[test]
fn every_cut_of_a_body_is_refused() {
    for (seed, trailer) in [(None, true), (Some("00"), true), (Some("00"), false)] {
        let body = encode(
            seed,
            &[b"first frame", b"second"],
            trailer.then_some("x-amz-checksum-crc32:AAAAAA=="),
        );
        for end in 0..body.len() {
            assert!(
                decode(framing(seed, trailer, 17), &body[..end], &[]).is_err(),
                "cut at {end}"
            );
        }
        assert!(decode(framing(seed, trailer, 17), &body, &[]).is_ok());
    }
}

#[test]
fn frames_can_not_change_places() {
    let body = encode(Some("00"), &[b"same size 1", b"same size 2"], None);
    let frame = body.len() - "0;chunk-signature=\r\n\r\n".len() - 64;
    let (first, rest) = body.split_at(frame / 2);
    let (second, end) = rest.split_at(frame / 2);
    let swapped = [second, first, end].concat();
    assert_eq!(
        decode(framing(Some("00"), false, 22), &swapped, &[]),
        Err(FramingError::SignatureMismatch)
    );
}

#[test]
fn length_must_be_the_one_announced() {
    let body = encode(None, &[b"12345"], Some("x-amz-checksum-crc32:AAAAAA=="));
    assert_eq!(
        decode(framing(None, true, 4), &body, &[]),
        Err(FramingError::TooLong { decoded_len: 4 })
    );
    assert_eq!(
        decode(framing(None, true, 6), &body, &[]),
        Err(FramingError::Incomplete { missing: 1 })
    );
    let empty = encode(None, &[], Some("x-amz-checksum-crc32:AAAAAA=="));
    assert_eq!(decode(framing(None, true, 0), &empty, &[]).unwrap().0, b"");
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let refusal = |body: &[u8]| decode(framing(None, true, u64::MAX), body, &[]).unwrap_err();
    assert_eq!(refusal(&[b'0'; LONGEST_LINE + 1]), FramingError::LineTooLong);
    assert_eq!(
        refusal(b"1000001\r\n"),
        FramingError::FrameTooLarge {
            size: LARGEST_FRAME + 1
        }
    );
    assert_eq!(
        refusal(b"ffffffffffffffff\r\n"),
        FramingError::FrameTooLarge { size: u64::MAX }
    );
    assert_eq!(refusal(b"10000000000000000\r\n"), FramingError::MalformedFrame);
    let trailers = [b"0\r\n".to_vec(), b"a:b\r\n".repeat(LONGEST_TRAILERS)].concat();
    assert_eq!(
        decode(framing(None, true, 0), &trailers, &[]),
        Err(FramingError::TrailersTooLong)
    );
}

#[test]
fn malformed_frames_are_refused() {
    for body in [
        "\r\n",
        "5\n12345\r\n",
        "+5\r\n12345\r\n",
        "5 \r\n",
        "5;x=y\r\n",
        "5\r\n123456\r\n",
        "5\r\n12345\n0\r\n",
    ] {
        let refused = decode(framing(None, true, 5), body.as_bytes(), &[]);
        assert_eq!(refused, Err(FramingError::MalformedFrame), "{body:?}");
    }
    let unsigned_frame = decode(framing(Some("00"), false, 5), b"5\r\n12345\r\n", &[]);
    assert_eq!(unsigned_frame, Err(FramingError::MalformedFrame));
}

#[test]
fn nothing_may_follow_the_end() {
    let body = encode(None, &[b"12345"], Some("x-amz-checksum-crc32:AAAAAA=="));
    let longer = [&body[..], b"x"].concat();
    assert_eq!(
        decode(framing(None, true, 5), &longer, &[]),
        Err(FramingError::TrailingBytes)
    );
    // What minio-go writes has one line break more.
    let minio = b"5\r\n12345\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\n\r\n";
    assert!(decode(framing(None, true, 5), minio, &[]).is_ok());
    let not_minio = b"5\r\n12345\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\n\r\nx-amz-meta:1\r\n";
    assert!(decode(framing(None, true, 5), not_minio, &[]).is_err());
}

#[test]
fn several_trailers_are_signed_in_order_of_their_names() {
    // 'x-a' stands before 'x-a-b', although '-' is below ':'.
    let sorted = encode(Some("00"), &[], Some("x-a:1\r\nx-a-b:2"));
    let sorted = String::from_utf8(sorted).unwrap();
    let body = sorted.replace("x-a:1\r\nx-a-b:2\r\n", "X-A-B: 2\r\nX-A: 1\r\n");
    assert_ne!(body, sorted);
    assert!(decode(framing(Some("00"), true, 0), body.as_bytes(), &[]).is_ok());
}

#[test]
fn stored_encoding_loses_the_framing_only() {
    assert_eq!(stored_encoding("aws-chunked"), None);
    assert_eq!(stored_encoding("aws-chunked,gzip").as_deref(), Some("gzip"));
    assert_eq!(stored_encoding("gzip, AWS-Chunked, br").as_deref(), Some("gzip,br"));
}

proptest! {
    #[test]
    fn pieces_of_the_transfer_mean_nothing(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..6),
        pieces in prop::collection::vec(1..200usize, 1..8),
        seed in prop::option::of(Just("5a")),
    ) {
        let data = frames.concat();
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        let body = encode(seed, &frames, Some("x-amz-checksum-crc32:AAAAAA=="));
        let (decoded, trailers) = decode(framing(seed, true, data.len() as u64), &body, &pieces).unwrap();
        prop_assert_eq!(decoded, data);
        prop_assert_eq!(&trailers["x-amz-checksum-crc32"], "AAAAAA==");
    }

    #[test]
    fn no_input_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..400), trailer in any::<bool>()) {
        let _ = decode(framing(None, trailer, 100), &body, &[7]);
        let _ = decode(framing(Some("00"), trailer, 100), &body, &[7]);
    }
}

/// Feeds `body` in pieces of the given sizes, over and over.
fn decode(framing: Framing, body: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, HeaderMap), FramingError> {
    let mut decoder = Decoder::new(framing);
    let mut rest = Bytes::copy_from_slice(body);
    let mut sizes = pieces.iter().cycle();
    let mut decoded = Vec::new();
    while !rest.is_empty() {
        let mut piece = rest.split_to(sizes.next().map_or(rest.len(), |size| rest.len().min(*size)));
        while let Some(data) = decoder.decode(&mut piece)? {
            assert!(!data.is_empty());
            decoded.extend_from_slice(&data);
        }
    }
    Ok((decoded, decoder.finish()?))
}

fn signed(seed: &str, trailer: bool, decoded_len: u64) -> Framing {
    Framing {
        signed: Some(Box::new(verifier(seed))),
        trailer,
        decoded_len,
    }
}

/// `seed` is one byte of the request's signature, repeated; `None` for unsigned frames.
fn framing(seed: Option<&str>, trailer: bool, decoded_len: u64) -> Framing {
    Framing {
        signed: seed.map(|seed| Box::new(verifier(&seed.repeat(32)))),
        trailer,
        decoded_len,
    }
}

fn verifier(seed: &str) -> FrameVerifier {
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, b"AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    for step in SCOPE.split('/') {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, step.as_bytes()).as_ref());
    }
    FrameVerifier::new(Arc::new(key), TIMESTAMP, SCOPE, seed.as_bytes().try_into().unwrap())
}

/// The frames of the published examples.
fn published(signatures: [&str; 3]) -> Vec<u8> {
    let [first, second, last] = signatures;
    let mut body = format!("10000;chunk-signature={first}\r\n").into_bytes();
    body.extend_from_slice(&[b'a'; 65_536]);
    body.extend_from_slice(format!("\r\n400;chunk-signature={second}\r\n").as_bytes());
    body.extend_from_slice(&[b'a'; 1024]);
    body.extend_from_slice(format!("\r\n0;chunk-signature={last}\r\n").as_bytes());
    body
}

/// Frames a body as a client would. `trailers` are whole lines, in the order in which they are signed.
fn encode(seed: Option<&str>, frames: &[&[u8]], trailers: Option<&str>) -> Vec<u8> {
    let mut chain = seed.map(|seed| verifier(&seed.repeat(32)));
    let mut body = Vec::new();
    let empty: &[u8] = b"";
    for frame in frames.iter().chain([&empty]) {
        body.extend_from_slice(format!("{:x}", frame.len()).as_bytes());
        if let Some(chain) = &mut chain {
            let hash = |bytes: &[u8]| hex::encode(digest::digest(&digest::SHA256, bytes));
            let signature = chain.sign("AWS4-HMAC-SHA256-PAYLOAD\n", &[&hash(b""), "\n", &hash(frame)]);
            chain.previous = signature.as_slice().try_into().unwrap();
            body.extend_from_slice(&[b";chunk-signature=", &signature[..]].concat());
        }
        body.extend_from_slice(b"\r\n");
        if !frame.is_empty() {
            body.extend_from_slice(frame);
            body.extend_from_slice(b"\r\n");
        }
    }
    if let Some(trailers) = trailers {
        body.extend_from_slice(&[trailers.as_bytes(), b"\r\n"].concat());
        if let Some(chain) = &chain {
            let canonical = [trailers.replace("\r\n", "\n").as_bytes(), b"\n"].concat();
            let hash = hex::encode(digest::digest(&digest::SHA256, &canonical));
            let signature = chain.sign("AWS4-HMAC-SHA256-TRAILER\n", &[&hash]);
            body.extend_from_slice(&[b"x-amz-trailer-signature:", &signature[..], b"\r\n"].concat());
        }
    }
    body.extend_from_slice(b"\r\n");
    body
}
