//! Whether an Azure store heeds conditions: tried with a blob of the gate's own in the system container. The gate itself rests on
//! them: what is read in pieces is held together by `If-Match`, and appending by its position.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::commands::check::blob_store::{Said, ask, call, owned, send};
use crate::commands::check::report::{Finding, Step};
use crate::upstream::{AzureStore, StoreBody, StoreError};

const APPEND_POSITION: HeaderName = HeaderName::from_static("x-ms-blob-condition-appendpos");
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
/// Of a block; base64, as the service wants it.
const BLOCK_ID: &str = "Y2hlY2s=";
/// The blob is one that it can't be.
const OTHER: Condition = (IF_MATCH, "\"0x8D0000000000000\"");
/// No blob is there yet.
const FRESH: Condition = (IF_NONE_MATCH, "*");
/// Something lies there already, where nothing does.
const FURTHER: Condition = (APPEND_POSITION, "5");

type Condition = (HeaderName, &'static str);

/// A way to use a condition, tried on a blob that is there.
struct Try {
    what: &'static str,
    method: Method,
    query: &'static [(&'static str, &'static str)],
    kind: Option<&'static str>,
    body: &'static str,
    condition: Condition,
}

const LIST: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><Latest>Y2hlY2s=</Latest></BlockList>";

/// What is tried on a block blob. A block is staged beforehand, so that a list that is taken finds it.
fn tries() -> [Try; 6] {
    let put = |what, condition| Try {
        what,
        method: Method::PUT,
        query: &[],
        kind: Some("BlockBlob"),
        body: "tried",
        condition,
    };
    let list = |what, condition| Try {
        what,
        method: Method::PUT,
        query: &[("comp", "blocklist")],
        kind: None,
        body: LIST,
        condition,
    };
    let bare = |what, method| Try {
        what,
        method,
        query: &[],
        kind: None,
        body: "",
        condition: OTHER,
    };
    [
        put("If-None-Match of Put Blob", FRESH),
        put("If-Match of Put Blob", OTHER),
        list("If-None-Match of Put Block List", FRESH),
        list("If-Match of Put Block List", OTHER),
        bare("If-Match of Get Blob", Method::GET),
        bare("If-Match of Delete Blob", Method::DELETE),
    ]
}

/// Writes, and tries whether conditions hold.
pub(super) async fn conditions(store: &AzureStore, container: &str) -> Finding {
    let step = Step::ConditionalWrites;
    let mut salt = [0; 8];
    if aws_lc_rs::rand::fill(&mut salt).is_err() {
        return Finding::failed(step, "the system gave no random bytes");
    }
    let name = format!("check/{}", hex::encode(salt));
    let appended = format!("{name}-appended");
    let went = passed_over(store, (container, &name), &appended).await;
    // Whatever came of it: nothing is to stay. One that is gone already is none.
    let mut left = false;
    for blob in [&name, &appended] {
        let removed = ask(store, Method::DELETE, (container, blob), &[]).await;
        left |= !removed.is_ok_and(|said| said.status.is_success() || said.status == StatusCode::NOT_FOUND);
    }
    match went {
        Err(why) => Finding::failed(step, why)
            .fix(["let the gate's credential read, write and delete in the system container".to_owned()]),
        Ok(passed) if !passed.is_empty() => {
            let found = format!(
                "the store passes over {}: the gate and its clients rely on them",
                passed.join(", ")
            );
            Finding::failed(step, found).fix([
                "use a store that heeds conditions, as Azure Blob Storage does: writers destroy each other's data"
                    .to_owned(),
            ])
        }
        Ok(_) if left => Finding::warning(
            step,
            format!("writable; conditions are heeded; {name} can't be deleted"),
        )
        .fix(["let the gate's credential delete in the system container".to_owned()]),
        Ok(_) => Finding::ok(step, "writable; conditions are heeded"),
    }
}

/// What the store passes over; or why that can't be told.
async fn passed_over(store: &AzureStore, place: (&str, &str), appended: &str) -> Result<Vec<&'static str>, String> {
    let mut passed = Vec::new();
    for one in tries() {
        // Anew each time: one that was passed over has changed the blob.
        write(store, place, &[], Some("BlockBlob"), "written").await?;
        let staged = [("comp", "block"), ("blockid", BLOCK_ID)];
        write(store, place, &staged, None, "block").await?;
        let said = said(store, place, &one).await.map_err(|error| error.to_string())?;
        if !is_heeded(&said, one.what)? {
            passed.push(one.what);
        }
    }
    let place = (place.0, appended);
    write(store, place, &[], Some("AppendBlob"), "").await?;
    let append = Try {
        what: "the position of Append Block",
        method: Method::PUT,
        query: &[("comp", "appendblock")],
        kind: None,
        body: "block",
        condition: FURTHER,
    };
    let said = said(store, place, &append).await.map_err(|error| error.to_string())?;
    if !is_heeded(&said, append.what)? {
        passed.push(append.what);
    }
    Ok(passed)
}

async fn said(store: &AzureStore, place: (&str, &str), one: &Try) -> Result<Said, StoreError> {
    let query = owned(one.query);
    let mut call = call(one.method.clone(), place, &query);
    call.headers = headers(one.kind);
    let (name, value) = &one.condition;
    call.headers.insert(name, HeaderValue::from_static(value));
    call.body = document(one.body);
    send(store, call).await
}

async fn write(
    store: &AzureStore,
    place: (&str, &str),
    query: &[(&str, &str)],
    kind: Option<&'static str>,
    body: &str,
) -> Result<(), String> {
    let query = owned(query);
    let mut call = call(Method::PUT, place, &query);
    call.headers = headers(kind);
    call.body = document(body);
    let said = send(store, call)
        .await
        .map_err(|error| format!("the container can't be written to: {error}"))?;
    match said.status.is_success() {
        true => Ok(()),
        false => Err(format!(
            "the container can't be written to: the store answers {}",
            said.words()
        )),
    }
}

fn headers(kind: Option<&'static str>) -> HeaderMap {
    let kind = kind.map(|kind| (BLOB_TYPE, HeaderValue::from_static(kind)));
    kind.into_iter().collect()
}

fn document(text: &str) -> StoreBody {
    match text {
        "" => StoreBody::empty(),
        text => StoreBody::control(text.as_bytes().to_vec()),
    }
}

/// Not done because of its condition: 412, and 409 `BlobAlreadyExists` of `If-None-Match: *`
/// (<https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations>).
fn is_heeded(said: &Said, what: &str) -> Result<bool, String> {
    match said.status {
        StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => Ok(true),
        status if status.is_success() => Ok(false),
        _ => Err(format!("{what} is answered {}", said.words())),
    }
}
