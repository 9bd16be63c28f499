//! Clients' block ids, as the format takes them.
//!
//! The gate puts 16 bytes of its own behind each id, and Azure takes 64 in all, so 48 are the client's. Ids of up to 64 bytes come
//! from the SDK for Go all the same: 16 random bytes, a number, and zeros (`sdk/storage/azblob/blockblob/chunkwriting.go`). So a
//! longer id is written without the zeros that end it, behind a mark that no shorter id may begin with, and shown with them.

use std::borrow::Cow;

use crate::azure::checks;
use crate::azure::commit::OF_PUT_BLOB;
use crate::azure::error::AzureError;
use crate::seal::MAX_CLIENT_ID;

/// The longest that Azure takes: <https://learn.microsoft.com/rest/api/storageservices/put-block>.
const LONGEST: usize = 64;
/// What a shortened id begins with. Then comes one byte, its own length, and the id without its zeros.
const MARK: &[u8; 8] = b"\x8ePORTCUT";
const HEAD: usize = MARK.len() + 1;
const NAME: &str = "blockid";

/// Reads a client's id: the bytes that stand for it in the gate's own.
///
/// # Errors
/// It is no base64, too long, or one of the gate's.
pub fn read(text: &str) -> Result<Vec<u8>, AzureError> {
    let id = checks::from_base64(text).filter(|id| !id.is_empty());
    let id = id.ok_or(AzureError::InvalidQuery { name: NAME })?;
    if id.len() > MAX_CLIENT_ID {
        return shortened(&id).ok_or(AzureError::OutOfRange { name: NAME });
    }
    // The gate's own names: the block of a long Put Blob, in any length, and what stands for longer ids.
    if id == OF_PUT_BLOB || id.starts_with(MARK) {
        return Err(AzureError::InvalidQuery { name: NAME });
    }
    Ok(id)
}

/// The client's own id, from the bytes that stand for it.
pub fn shown(id: &[u8]) -> Cow<'_, [u8]> {
    let rest = id.strip_prefix(MARK).filter(|_| id.len() == MAX_CLIENT_ID);
    match rest.and_then(<[u8]>::split_first) {
        Some((len, rest)) => {
            let mut whole = rest.to_vec();
            whole.resize(usize::from(*len), 0);
            Cow::Owned(whole)
        }
        None => Cow::Borrowed(id),
    }
}

/// `None` where too much of it is not zeros, or there is too much of it.
fn shortened(id: &[u8]) -> Option<Vec<u8>> {
    let len = u8::try_from(id.len()).ok().filter(|len| usize::from(*len) <= LONGEST)?;
    let (kept, zeros) = id.split_at_checked(MAX_CLIENT_ID - HEAD)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some([MARK.as_slice(), &[len], kept].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_azures_own_and_never_the_gates() {
        assert_eq!(read("YWJj").unwrap(), b"abc");
        let mark = checks::to_base64(&[MARK.as_slice(), b"x"].concat());
        for wrong in ["", "no base64", mark.as_str(), &checks::to_base64(OF_PUT_BLOB)] {
            assert!(matches!(read(wrong), Err(AzureError::InvalidQuery { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_long_id_that_ends_in_zeros_comes_back() {
        for len in [49_usize, 63, 64] {
            for said in [1_usize, 20, 39] {
                let mut id = vec![7; said];
                id.resize(len, 0);
                let short = read(&checks::to_base64(&id)).unwrap();
                assert_eq!(short.len(), MAX_CLIENT_ID);
                assert_eq!(shown(&short), id.as_slice());
            }
        }
        assert_eq!(shown(b"short"), b"short".as_slice());
    }

    #[test]
    fn two_long_ids_are_two_in_short() {
        let id = |n: u8, len: usize| checks::to_base64(&[[n; 20].as_slice(), &vec![0; len - 20]].concat());
        let all = [id(1, 64), id(2, 64), id(1, 63)].map(|text| read(&text).unwrap());
        assert!(all[0] != all[1] && all[0] != all[2]);
    }

    #[test]
    fn what_can_not_be_shortened_is_refused() {
        let ends_otherwise = [[0; 63].as_slice(), &[1]].concat();
        for long in [vec![1; 49], vec![1; 64], vec![0; 65], ends_otherwise] {
            let read = read(&checks::to_base64(&long));
            assert!(matches!(read, Err(AzureError::OutOfRange { .. })), "{}", long.len());
        }
    }
}
