//! The steps towards the stores: connection, credential, the gate's own container, conditions, buckets, access past the gate.
//! Customers' buckets are only looked at; what is written lies in the system container, and is deleted again.

use bytes::Bytes;
use http::header::DATE;
use http::{HeaderMap, Method, StatusCode};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::commands::check::clock;
use crate::commands::check::report::{Finding, Step, Verdict};
use crate::config::Bucket;
use crate::keys::survey::http_date;
use crate::upstream::{Call, Caller, ConditionalWrites, Heeded, Store, StoreBody, StoreError, collect};

/// A page of one key is a few lines.
const LARGEST_ANSWER: usize = 256 * 1024;

/// A store's answer, read whole.
pub(super) struct Said {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Asks a store without a body.
pub(super) async fn ask(
    store: &Store,
    caller: &Caller,
    method: Method,
    place: (&str, &str),
    query: &str,
) -> Result<Said, StoreError> {
    send(store, caller, method, place, query, StoreBody::empty()).await
}

/// Asks a store.
pub(super) async fn send(
    store: &Store,
    caller: &Caller,
    method: Method,
    (bucket, key): (&str, &str),
    query: &str,
    body: StoreBody,
) -> Result<Said, StoreError> {
    let call = Call {
        method,
        bucket,
        key,
        query,
        caller,
        headers: HeaderMap::new(),
        body,
    };
    let (head, body) = store.send(call).await?.into_parts();
    Ok(Said {
        status: head.status,
        headers: head.headers,
        body: collect(body, LARGEST_ANSWER).await?,
    })
}

impl Said {
    /// The text of the first element of this name.
    fn text(&self, element: &str) -> Option<String> {
        let mut reader = Reader::from_reader(&*self.body);
        let mut within = false;
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => within = tag.local_name().as_ref() == element.as_bytes(),
                Event::Text(text) if within => return Some(text.decode().ok()?.into_owned()),
                Event::End(_) => within = false,
                Event::Eof => return None,
                _ => {}
            }
        }
    }

    /// `403 AccessDenied`. Only letters of the store's own code: the rest may quote what was signed.
    pub(super) fn words(&self) -> String {
        let code = self.text("Code").unwrap_or_default();
        let clean = code.bytes().all(|byte| byte.is_ascii_alphanumeric()) && code.len() <= 64;
        match clean && !code.is_empty() {
            true => format!("{} {code}", self.status.as_u16()),
            false => self.status.as_u16().to_string(),
        }
    }
}

/// The steps of one store; whether it can be written to.
pub(super) async fn examine(store: &Store) -> (Vec<Finding>, bool) {
    let (name, container) = (store.name(), store.system_container());
    let one = "list-type=2&max-keys=1";
    let skip = |steps: &[Step], because| -> Vec<Finding> {
        let skipped = |step: &Step| Finding::skipped(*step, because).of(name);
        steps.iter().map(skipped).collect()
    };
    let later = [Step::SystemContainer, Step::ConditionalWrites];
    let said = match ask(store, &Caller::Gate, Method::GET, (container, ""), one).await {
        Ok(said) => said,
        Err(error) => {
            let advice = [
                "see the store's `endpoint`, that it is up, and that connections from here are allowed".to_owned(),
                "a store with a private authority needs `ca_file`".to_owned(),
            ];
            let mut findings = vec![Finding::failed(Step::Store, error.to_string()).of(name).fix(advice)];
            findings.extend(skip(&[Step::StoreClock], Step::Store));
            findings.extend(skip(&later, Step::Store));
            return (findings, false);
        }
    };
    let date = said.headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?));
    let clock = match date {
        Some(date) => clock::compared(Step::StoreClock, "store", date).of(name),
        None => Finding::new(Step::StoreClock, Verdict::Skipped, "the store tells no time").of(name),
    };
    if let Some(finding) = refusal(&said) {
        let mut findings = vec![finding.of(name), clock];
        findings.extend(skip(&later, Step::Store));
        return (findings, false);
    }
    let mut findings = vec![
        Finding::ok(Step::Store, "answers, and takes the gate's credential").of(name),
        clock,
    ];
    let (finding, there) = system_container(store, &said).await;
    findings.push(finding.of(name));
    match there {
        true => findings.push(conditions(store).await.of(name)),
        false => findings.extend(skip(&[Step::ConditionalWrites], Step::SystemContainer)),
    }
    (findings, there)
}

/// An answer that says no to the gate itself, or is no store's.
fn refusal(said: &Said) -> Option<Finding> {
    let found = format!("the store answers {}", said.words());
    let advice = match said.status {
        StatusCode::OK | StatusCode::NOT_FOUND => return None,
        StatusCode::FORBIDDEN => match said.text("Code").as_deref() {
            Some("InvalidAccessKeyId") => "see `access_key_id`: the store does not know it",
            Some("SignatureDoesNotMatch") => "see `secret_access_key`, and `region`",
            Some("RequestTimeTooSkewed") => "set this machine's clock",
            _ => "let the gate's credential list, read, write and delete in the system container and the buckets",
        },
        StatusCode::BAD_REQUEST => "see `region`: the store expects another",
        status if status.is_redirection() => "see `region` and `endpoint`: the container lies elsewhere",
        _ => "see whether a store of S3's kind answers there, and its own log",
    };
    Some(Finding::failed(Step::Store, found).fix([advice.to_owned()]))
}

/// There, or made now.
async fn system_container(store: &Store, said: &Said) -> (Finding, bool) {
    let container = store.system_container();
    let step = Step::SystemContainer;
    if said.status == StatusCode::OK {
        return (Finding::ok(step, format!("{container} is there")), true);
    }
    let advice = format!("make it: aws s3api create-bucket --bucket {container}, owned by the gate's credential");
    match ask(store, &Caller::Gate, Method::PUT, (container, ""), "").await {
        Ok(made) if made.status.is_success() => {
            (Finding::ok(step, format!("{container} was missing, and is made")), true)
        }
        Ok(made) => {
            let found = format!("{container} is missing, and making it is answered {}", made.words());
            (Finding::failed(step, found).fix([advice]), false)
        }
        Err(error) => (Finding::failed(step, error.to_string()).fix([advice]), false),
    }
}

/// Writes, and tries whether conditions hold: what is configured need not be so.
async fn conditions(store: &Store) -> Finding {
    let step = Step::ConditionalWrites;
    let told = store.dialect().conditional_writes;
    match store.probe().await {
        Err(error) => Finding::failed(step, format!("the container can't be written to: {error}"))
            .fix(["let the gate's credential write and delete in the system container".to_owned()]),
        Ok(heeded) if heeded == Heeded::all(true) => match told {
            ConditionalWrites::Ignored => {
                let advice = "set conditional_writes = true: the gate refuses what the store could do";
                Finding::warning(step, "heeded, though the configuration says otherwise").fix([advice.to_owned()])
            }
            ConditionalWrites::Heeded | ConditionalWrites::Probe => {
                Finding::ok(step, "writable; conditions are heeded")
            }
        },
        Ok(heeded) => {
            let found = format!("the store passes over {}", heeded.passed_over().join(", "));
            match told {
                ConditionalWrites::Heeded => {
                    Finding::failed(step, format!("{found}, though the configuration says it heeds them")).fix([
                        "set conditional_writes = \"probe\" or false: clients that rely on conditions lose data"
                            .to_owned(),
                    ])
                }
                ConditionalWrites::Ignored | ConditionalWrites::Probe => {
                    Finding::warning(step, format!("{found}; the gate refuses such requests"))
                        .fix(["see that no client needs conditions on writes".to_owned()])
                }
            }
        }
    }
}

/// The tenant's buckets in a store: there, and closed to those who come past the gate.
pub(super) async fn buckets(store: &Store, buckets: &[&Bucket]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for bucket in buckets {
        let name = bucket.name.as_str();
        if !bucket.name.is_literal() {
            let found = "not tried: a pattern names no bucket that could be looked for";
            findings.push(Finding::new(Step::Buckets, Verdict::Skipped, found).of(name));
            continue;
        }
        let one = "list-type=2&max-keys=1";
        let seen = match ask(store, &Caller::Gate, Method::GET, (name, ""), one).await {
            Ok(said) if said.status == StatusCode::OK => said,
            Ok(said) => {
                let advice = match said.status {
                    StatusCode::NOT_FOUND => format!("make it: aws s3api create-bucket --bucket {name}"),
                    _ => format!("let the gate's credential list, read, write and delete in {name}"),
                };
                let found = format!("the store answers {}", said.words());
                findings.push(Finding::failed(Step::Buckets, found).of(name).fix([advice]));
                findings.push(Finding::skipped(Step::DirectAccess, Step::Buckets).of(name));
                continue;
            }
            Err(error) => {
                findings.push(Finding::failed(Step::Buckets, error.to_string()).of(name));
                findings.push(Finding::skipped(Step::DirectAccess, Step::Buckets).of(name));
                continue;
            }
        };
        findings.push(Finding::ok(Step::Buckets, "there, and the gate may list it").of(name));
        findings.push(direct_access(store, bucket, seen.text("Key")).await.of(name));
    }
    findings
}

/// Whether the world may look into a bucket without the gate: what it sees is sealed, but names, sizes and deletion are not.
async fn direct_access(store: &Store, bucket: &Bucket, key: Option<String>) -> Finding {
    let name = bucket.name.as_str();
    let step = Step::DirectAccess;
    let listed = ask(
        store,
        &Caller::Nobody,
        Method::GET,
        (name, ""),
        "list-type=2&max-keys=1",
    )
    .await;
    let key =
        key.map(|key| percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC).to_string());
    let read = match &key {
        Some(key) => ask(store, &Caller::Nobody, Method::HEAD, (name, key), "").await.ok(),
        None => None,
    };
    let open = |said: &Said| said.status.is_success();
    let mut found = Vec::new();
    if listed.as_ref().is_ok_and(open) {
        found.push("anybody may list it");
    }
    if read.as_ref().is_some_and(open) {
        found.push("anybody may read an object of it");
    }
    if found.is_empty() {
        return match listed {
            Ok(said) => Finding::ok(step, format!("who does not sign is answered {}", said.words())),
            Err(error) => Finding::new(step, Verdict::Skipped, error.to_string()),
        };
    }
    let found = format!(
        "past the gate, {}: sealed bytes, but names and sizes in clear",
        found.join(", and ")
    );
    let advice = format!(
        "aws s3api put-public-access-block --bucket {name} --public-access-block-configuration \
         BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true"
    );
    let meant = bucket
        .anonymous
        .then(|| "the bucket is configured `anonymous`: then only through the gate".to_owned());
    Finding::warning(step, found).fix(meant.into_iter().chain([advice]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &'static str) -> Said {
        Said {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn a_stores_words_are_its_code_and_nothing_else() {
        let told = said(
            403,
            "<Error><Code>SignatureDoesNotMatch</Code><StringToSign>x</StringToSign></Error>",
        );
        assert_eq!(told.words(), "403 SignatureDoesNotMatch");
        assert!(refusal(&told).unwrap().fix[0].contains("secret_access_key"));
        assert_eq!(said(502, "<h1>Bad <b>Gateway</b></h1>").words(), "502");
        assert_eq!(
            said(403, "<Error><Code>a secret, perhaps</Code></Error>").words(),
            "403"
        );
    }

    #[test]
    fn what_answers_well_or_has_no_container_is_no_refusal() {
        assert!(refusal(&said(200, "")).is_none());
        assert!(refusal(&said(404, "")).is_none());
        assert!(refusal(&said(500, "")).is_some());
        assert!(refusal(&said(301, "")).is_some());
    }
}
