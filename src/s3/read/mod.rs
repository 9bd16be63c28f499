//! Reading an object, of whatever form it is: its length from the store's answer, its keys from its own header or footer, its
//! chunks opened on the way.
//!
//! The first piece is opened before the answer begins, so that what is wrong with the object is still an error with a name. How
//! the bytes are come to stands in `open`; what is checked before the first of them in `form`; what is asked of the store in
//! `ask`. [`source`](source::source) is for those who copy.

mod ask;
mod checksums;
mod form;
mod open;
pub mod source;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::body::Opening;
use crate::s3::error::S3Error;
use crate::s3::exchange::Exchange;
use crate::s3::headers;
use crate::s3::range::Wanted;
use crate::s3::read::ask::{Asking, Facts, content_range, no_object, tampered};
use crate::s3::read::form::Known;
use crate::s3::read::open::{Found, Looked};
use crate::seal::{Kind, PlainLen, PlainRange, Tampered};

pub use form::Form;

/// How often an object is asked for that is replaced each time, before the client is told to come again.
const TRIES: u32 = 3;

const PARTS_COUNT: HeaderName = HeaderName::from_static("x-amz-mp-parts-count");
const PART_NUMBER: &str = "partNumber";
/// S3's greatest part number: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const LAST_PART: u32 = 10_000;

/// An object on its way to the client.
pub struct Read {
    /// Head of the answer, complete.
    pub head: Response<()>,
    /// The plaintext to come; nothing for an empty answer.
    pub opening: Option<Opening>,
}

/// Which bytes of an object a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Bytes(Wanted),
    Part(u32),
}

/// GetObject.
///
/// # Errors
/// The key's owner said no, the store did, or the object is not what was sealed.
pub async fn get(exchange: &Exchange<'_>) -> Result<Read, S3Error> {
    headers::no_client_key(&exchange.parts.headers)?;
    let what = what(exchange)?;
    let asking = asking(exchange, what);
    for _ in 0..TRIES {
        let looked = match what {
            What::Bytes(wanted) => asking.range(wanted).await,
            What::Part(number) => asking.part(number).await,
        };
        match looked {
            Err(error) if replaced(&asking, &error) => {}
            Ok(Looked::Unchanged(store)) => return Ok(not_modified(&store)),
            Ok(Looked::Found(found)) => return Ok(answer(exchange, *found, what)),
            Err(error) => return Err(error),
        }
    }
    Err(S3Error::StoreFailed)
}

/// HeadObject: the same head that GetObject would give. The length follows from the stored size by the law; the body is looked at
/// only where the metadata leaves open whether there is a seal at all, and for what stands nowhere else: parts and checksums.
///
/// # Errors
/// As [`get`].
pub async fn head(exchange: &Exchange<'_>) -> Result<Read, S3Error> {
    headers::no_client_key(&exchange.parts.headers)?;
    let what = what(exchange)?;
    let asking = asking(exchange, what);
    for _ in 0..TRIES {
        match described(exchange, &asking, what).await {
            Err(error) if replaced(&asking, &error) => {}
            described => return described,
        }
    }
    Err(S3Error::StoreFailed)
}

/// What is known of an object without its bytes.
pub struct Described {
    /// What the store says of it.
    pub store: HeaderMap,
    /// Its plaintext.
    pub len: PlainLen,
    /// Of what it is made, where that was asked for.
    pub form: Option<Form>,
    /// Its checksums as XML, where they were asked for and are known.
    pub checksum: Option<String>,
}

/// Describes an object, as a HEAD would and with what only its seal tells: its checksums, its parts.
///
/// # Errors
/// As [`head`].
pub async fn describe(exchange: &Exchange<'_>, checksum: bool, parts: bool) -> Result<Described, S3Error> {
    headers::no_client_key(&exchange.parts.headers)?;
    let mut asking = asking(exchange, What::Bytes(Wanted::Whole));
    asking.checksums = checksum;
    // GetObjectAttributes has no conditions, and its query no wishes.
    asking.conditions.clear();
    asking.query.clear();
    for _ in 0..TRIES {
        match seen(&asking, parts).await {
            Err(error) if replaced(&asking, &error) => {}
            described => return described,
        }
    }
    Err(S3Error::StoreFailed)
}

async fn seen(asking: &Asking<'_>, parts: bool) -> Result<Described, S3Error> {
    let answer = asking.first(Method::HEAD, None).await?;
    let facts = Facts::of_whole(answer.into_parts().0.headers)?;
    believable(asking, &facts).await?;
    let (mut form, mut checksum) = (None, None);
    // A whole object's core says that there are no parts, and a missing text that no checksum was kept.
    let sealed = facts.is_marked() || facts.core().is_none();
    if (parts && sealed) || (asking.checksums && (sealed || facts.checksums().is_some())) {
        let mut known = asking.form(&facts).await?;
        checksum = asking
            .opened_checksums(&facts, &known.form, &mut known.opener)?
            .as_ref()
            .and_then(checksums::xml);
        form = Some(known.form);
    }
    Ok(Described {
        store: facts.headers,
        len: facts.len,
        form,
        checksum,
    })
}

async fn described(exchange: &Exchange<'_>, asking: &Asking<'_>, what: What) -> Result<Read, S3Error> {
    let answer = asking.first(Method::HEAD, None).await?;
    if answer.status() == StatusCode::NOT_MODIFIED {
        return Ok(not_modified(answer.headers()));
    }
    let facts = Facts::of_whole(answer.into_parts().0.headers)?;
    let wanted = match what {
        What::Bytes(wanted) => wanted,
        What::Part(number) => return part_head(exchange, asking, &facts, number).await,
    };
    believable(asking, &facts).await?;
    let range = match wanted {
        Wanted::Whole => None,
        wanted => Some(
            wanted
                .within(facts.len)
                .ok_or(S3Error::InvalidRange { size: facts.len })?,
        ),
    };
    let mut head = answer_head(exchange, &facts, facts.len, range);
    let sealed = facts.checksums().is_some() || facts.is_marked();
    if asking.checksums && sealed && range.is_none() {
        let Known { form, mut opener } = asking.form(&facts).await?;
        if let Some(checksums) = asking.opened_checksums(&facts, &form, &mut opener)? {
            checksums::tell(&checksums, head.headers_mut());
        }
    }
    Ok(Read { head, opening: None })
}

async fn part_head(exchange: &Exchange<'_>, asking: &Asking<'_>, facts: &Facts, number: u32) -> Result<Read, S3Error> {
    let Known { form, .. } = asking.form(facts).await?;
    let part = match &form {
        Form::Whole(_) => (number == 1).then(|| PlainRange::all(facts.len)),
        Form::Multipart(footer) => footer.layout().part(number),
    };
    let range = part.ok_or(S3Error::InvalidPartNumber { number })?;
    let len = range.map_or(PlainLen(0), PlainRange::plain_len);
    let mut head = answer_head(exchange, facts, len, range);
    parts_count(&form, head.headers_mut());
    Ok(Read { head, opening: None })
}

/// Whether there is a seal, as far as a HEAD can tell without a key: a core of the right length and name, or the mark of an upload;
/// where the metadata holds neither, the object's own first bytes.
async fn believable(asking: &Asking<'_>, facts: &Facts) -> Result<(), S3Error> {
    let core = match facts.core() {
        Some(core) => core,
        None if facts.is_marked() => return Ok(()),
        None => *asking.header(facts.etag()).await?.core(),
    };
    match core.kind() {
        Kind::Whole => {}
        // Of the whole object only its footer speaks, which HEAD leaves to the reader.
        Kind::Part => return Ok(()),
        found @ (Kind::Block | Kind::Append | Kind::Footer) => return Err(no_object(found)),
    }
    form::same_length(core.plain_len(), facts)?;
    if core.born_at(&asking.object.place()) || facts.alias().is_some() {
        Ok(())
    } else {
        Err(tampered(Tampered::Place))
    }
}

/// The client asked for no such thing: it is the gate's own pin that failed, for the object was replaced between two requests for
/// one answer.
fn replaced(asking: &Asking<'_>, error: &S3Error) -> bool {
    let failed = matches!(
        error,
        S3Error::Store {
            status: StatusCode::PRECONDITION_FAILED,
            ..
        }
    );
    failed && !asking.is_conditional()
}

fn answer(exchange: &Exchange<'_>, found: Found, what: What) -> Read {
    let len = match (&found.opening, found.range) {
        (None, _) => PlainLen(0),
        (Some(_), Some(range)) => range.plain_len(),
        (Some(_), None) => found.facts.len,
    };
    let mut head = answer_head(exchange, &found.facts, len, found.range);
    if let What::Part(_) = what {
        parts_count(&found.form, head.headers_mut());
    }
    if let Some(checksums) = &found.checksums {
        checksums::tell(checksums, head.headers_mut());
    }
    Read {
        head,
        opening: found.opening,
    }
}

fn answer_head(exchange: &Exchange<'_>, facts: &Facts, len: PlainLen, range: Option<PlainRange>) -> Response<()> {
    let mut head = Response::new(());
    let mut headers = headers::to_client(&facts.headers);
    headers::sealed_under(&exchange.container().key_url, &mut headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(len.0));
    if let Some(range) = range {
        *head.status_mut() = StatusCode::PARTIAL_CONTENT;
        if let Ok(value) = HeaderValue::try_from(content_range(range, facts.len)) {
            headers.insert(CONTENT_RANGE, value);
        }
    }
    *head.headers_mut() = headers;
    head
}

/// How many parts an object of several was uploaded in. S3 says nothing of the kind about others.
fn parts_count(form: &Form, headers: &mut HeaderMap) {
    if let Form::Multipart(footer) = form {
        let count = footer.layout().segments().len();
        headers.insert(PARTS_COUNT, HeaderValue::from(count));
    }
}

fn not_modified(store: &HeaderMap) -> Read {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::NOT_MODIFIED;
    *head.headers_mut() = headers::to_client(store);
    Read { head, opening: None }
}

fn asking<'a>(exchange: &'a Exchange<'_>, what: What) -> Asking<'a> {
    let theirs = &exchange.parts.headers;
    let (mut always, mut conditions) = (HeaderMap::new(), HeaderMap::new());
    headers::to_any(theirs, &mut always);
    headers::conditions(theirs, &mut conditions);
    let query = exchange.address.passed_query();
    let query = match what {
        What::Bytes(_) => query,
        // The store's parts are others.
        What::Part(_) => {
            let passed = query.split('&').filter(|pair| !pair.starts_with("partNumber="));
            passed.collect::<Vec<_>>().join("&")
        }
    };
    let enabled = theirs.get("x-amz-checksum-mode").is_some_and(|mode| mode == "ENABLED");
    Asking {
        object: &exchange.object,
        always,
        conditions,
        query,
        // A part of an object has another checksum than the whole: clients hold any that they are given against what they got.
        checksums: enabled && what == What::Bytes(Wanted::Whole),
    }
}

/// # Errors
/// A part number that S3 has not, or a part's range.
fn what(exchange: &Exchange<'_>) -> Result<What, S3Error> {
    let theirs = &exchange.parts.headers;
    let mut parameters = exchange.address.parameters();
    if let Some((_, number)) = parameters.find(|(name, _)| *name == PART_NUMBER) {
        let number = number.parse().ok().filter(|number| (1..=LAST_PART).contains(number));
        let number = number.ok_or(S3Error::InvalidArgument {
            message: "Part number must be an integer between 1 and 10000, inclusive",
        })?;
        if theirs.contains_key(RANGE) {
            return Err(S3Error::InvalidRequest {
                message: "Cannot specify both Range header and partNumber query parameter",
            });
        }
        return Ok(What::Part(number));
    }
    // Whether If-Range holds only the store knows, and it is asked for other bytes than the client's. The whole object is a
    // right answer either way (RFC 9110 section 14.2); a range of another object than the client's would not be.
    if theirs.contains_key(IF_RANGE) {
        return Ok(What::Bytes(Wanted::Whole));
    }
    let range = theirs.get(RANGE).and_then(|value| value.to_str().ok());
    Ok(What::Bytes(Wanted::parse(range)))
}
