//! What `x-amz-content-sha256` says about the body.

use http::{HeaderMap, HeaderName};

use crate::body::aws_chunked::{FrameVerifier, Framing};
use crate::s3::auth::{AuthError, Field, Payload, Unsupported, claim};
use crate::upstream::sigv4::{UNSIGNED_PAYLOAD, X_AMZ_CONTENT_SHA256};

const X_AMZ_DECODED_CONTENT_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");

/// `x-amz-content-sha256`, read.
pub(super) enum Content {
    Whole([u8; 32]),
    Unsigned,
    Frames { signed: bool, trailer: bool },
}

impl Content {
    /// Of a request that need not state it: unsigned with SigV4, or not at all.
    pub(super) fn stated(headers: &HeaderMap) -> Result<Self, AuthError> {
        let text = claim::single(headers, &X_AMZ_CONTENT_SHA256, Field::ContentSha256)?;
        text.map_or(Ok(Self::Unsigned), Self::parse)
    }

    pub(super) fn parse(text: &str) -> Result<Self, AuthError> {
        Ok(match text {
            UNSIGNED_PAYLOAD => Self::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Self::Frames {
                signed: true,
                trailer: false,
            },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Self::Frames {
                signed: true,
                trailer: true,
            },
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Self::Frames {
                signed: false,
                trailer: true,
            },
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                return Err(AuthError::UnsupportedAlgorithm(Unsupported::SigV4a));
            }
            _ => {
                let mut hash = [0; 32];
                hex::decode_to_slice(text, &mut hash).map_err(|_| AuthError::Malformed(Field::ContentSha256))?;
                Self::Whole(hash)
            }
        })
    }

    /// `seed` verifies the frames, if they are to be: the signature of the head is where theirs begin.
    ///
    /// # Errors
    /// A decoded length that is missing or malformed; frames that are signed where the head is not, or not with SigV4.
    pub(super) fn into_payload(
        self,
        headers: &HeaderMap,
        seed: Option<&dyn Fn() -> FrameVerifier>,
    ) -> Result<Payload, AuthError> {
        let (signed, trailer) = match self {
            Self::Whole(hash) => return Ok(Payload::Signed(hash)),
            Self::Unsigned => return Ok(Payload::Unsigned),
            Self::Frames { signed, trailer } => (signed, trailer),
        };
        let text = claim::single(headers, &X_AMZ_DECODED_CONTENT_LENGTH, Field::DecodedContentLength)?;
        let text = text.ok_or(AuthError::MissingDecodedLength)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let decoded_len = digits.then(|| text.parse().ok()).flatten();
        let decoded_len = decoded_len.ok_or(AuthError::Malformed(Field::DecodedContentLength))?;
        let signed = match (signed, seed) {
            (false, _) => None,
            (true, Some(seed)) => Some(Box::new(seed())),
            (true, None) => return Err(AuthError::Malformed(Field::ContentSha256)),
        };
        Ok(Payload::AwsChunked(Framing {
            signed,
            trailer,
            decoded_len,
        }))
    }
}
