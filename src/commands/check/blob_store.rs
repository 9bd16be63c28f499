//! The steps towards an Azure store: connection and the gate's own credential there, its clock, the container that belongs to the
//! gate where it keeps the keyring, and there whether conditions are heeded. Customers' containers: [`super::blob_containers`].

use bytes::Bytes;
use http::header::DATE;
use http::{Extensions, HeaderMap, HeaderName, Method, Response, StatusCode};
use hyper::body::Incoming;

use crate::commands::check::blob_conditions::conditions;
use crate::commands::check::clock;
use crate::commands::check::report::{Finding, Step, Verdict};
use crate::keys::survey::http_date;
use crate::upstream::{AzureCall, AzureStore, StoreBody, StoreError, collect};

/// A page of one name is a few lines.
const LARGEST_ANSWER: usize = 256 * 1024;
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// What a store answered.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Said {
    pub(super) fn code(&self) -> &str {
        let code = self.headers.get(ERROR_CODE).and_then(|code| code.to_str().ok());
        code.filter(|code| code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .unwrap_or_default()
    }

    /// `403 AuthenticationFailed`.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.code()).trim().to_owned()
    }
}

/// Asks as the gate, with no body.
pub(super) async fn ask(
    store: &AzureStore,
    method: Method,
    place: (&str, &str),
    query: &[(&str, &str)],
) -> Result<Said, StoreError> {
    let query = owned(query);
    send(store, call(method, place, &query)).await
}

/// Asks as somebody whom the store does not know.
pub(super) async fn ask_as_nobody(
    store: &AzureStore,
    method: Method,
    place: (&str, &str),
    query: &[(&str, &str)],
) -> Result<Said, StoreError> {
    let query = owned(query);
    said(store.send_as_nobody(call(method, place, &query)).await?).await
}

/// Asks a store about anything, and reads its answer whole.
pub(super) async fn send(store: &AzureStore, call: AzureCall<'_>) -> Result<Said, StoreError> {
    said(store.send(call).await?).await
}

/// A question without a body.
pub(super) fn call<'a>(
    method: Method,
    (container, blob): (&'a str, &'a str),
    query: &'a [(String, String)],
) -> AzureCall<'a> {
    AzureCall {
        method,
        secondary: false,
        container,
        blob,
        query,
        headers: HeaderMap::new(),
        spelling: Extensions::new(),
        body: StoreBody::empty(),
    }
}

/// Parameters as a question has them.
pub(super) fn owned(query: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    query.iter().map(own).collect()
}

async fn said(answer: Response<Incoming>) -> Result<Said, StoreError> {
    let (head, body) = answer.into_parts();
    Ok(Said {
        status: head.status,
        headers: head.headers,
        body: collect(body, LARGEST_ANSWER).await?,
    })
}

/// The steps of one store; whether it answers the gate, with the container that it needs.
pub(super) async fn examine(name: &str, store: &AzureStore) -> (Vec<Finding>, bool) {
    let said = match ask(store, Method::GET, ("", ""), &[("comp", "list"), ("maxresults", "1")]).await {
        Ok(said) => said,
        Err(error) => {
            let advice = [
                "see the store's `endpoint`, that it is up, and that connections from here are allowed".to_owned(),
                "with an identity, see the log for why there is no token".to_owned(),
            ];
            let clock = Finding::skipped(Step::StoreClock, Step::Store).of(name);
            let failed = Finding::failed(Step::Store, error.to_string()).of(name).fix(advice);
            let later = store.system_container().map(|_| Step::SystemContainer);
            let later = later.into_iter().chain([Step::ConditionalWrites]);
            let later = later.map(|step| Finding::skipped(step, Step::Store).of(name));
            return ([failed, clock].into_iter().chain(later).collect(), false);
        }
    };
    let date = said.headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?));
    let clock = match date {
        Some(date) => clock::compared(Step::StoreClock, "store", date).of(name),
        None => Finding::new(Step::StoreClock, Verdict::Skipped, "the store tells no time").of(name),
    };
    let (answer, reached) = answered(store, &said);
    let mut findings = vec![answer.of(name), clock];
    let skipped = |step, because| Finding::skipped(step, because).of(name);
    match (store.system_container(), reached) {
        (None, reached) => {
            let none = "not tried: the store has no container of the gate's own to try it in";
            findings.push(Finding::new(Step::ConditionalWrites, Verdict::Skipped, none).of(name));
            (findings, reached)
        }
        (Some(_), false) => {
            findings.extend([Step::SystemContainer, Step::ConditionalWrites].map(|step| skipped(step, Step::Store)));
            (findings, false)
        }
        (Some(container), true) => {
            let (finding, there) = system_container(store, container).await;
            findings.push(finding.of(name));
            findings.push(match there {
                true => conditions(store, container).await.of(name),
                false => skipped(Step::ConditionalWrites, Step::SystemContainer),
            });
            (findings, there)
        }
    }
}

fn answered(store: &AzureStore, said: &Said) -> (Finding, bool) {
    let (kind, account) = (store.credential_kind(), store.account());
    let narrow = ["AuthorizationPermissionMismatch", "AuthorizationResourceTypeMismatch"];
    match said.status {
        StatusCode::OK => {
            let found = format!("answers for {account}, and takes {kind}");
            (Finding::ok(Step::Store, found), true)
        }
        StatusCode::FORBIDDEN if narrow.contains(&said.code()) => {
            let found = format!("answers for {account}, and {kind} may not list its containers");
            let advice = "clients that list containers are refused; see that it may read, write, list and delete blobs";
            (Finding::warning(Step::Store, found).fix([advice.to_owned()]), true)
        }
        _ => {
            let advice = [
                "see `account` and `account_key`, `sas` or `identity`",
                "an identity needs the role \"Storage Blob Data Contributor\" on the storage account",
                "see this machine's clock, and the account's firewall",
            ];
            let found = format!("the store answers {} to {kind}", said.words());
            (
                Finding::failed(Step::Store, found).fix(advice.map(str::to_owned)),
                false,
            )
        }
    }
}

/// There, or made now.
async fn system_container(store: &AzureStore, container: &str) -> (Finding, bool) {
    let (step, whole) = (Step::SystemContainer, [("restype", "container")]);
    let advice = format!(
        "make it: az storage container create --account-name {} --name {container} --auth-mode login",
        store.account()
    );
    let failed = |found: String| (Finding::failed(step, found).fix([advice.clone()]), false);
    match ask(store, Method::HEAD, (container, ""), &whole).await {
        Ok(said) if said.status == StatusCode::OK => (Finding::ok(step, format!("{container} is there")), true),
        Ok(said) if said.status == StatusCode::NOT_FOUND => {
            match ask(store, Method::PUT, (container, ""), &whole).await {
                Ok(made) if made.status.is_success() => {
                    (Finding::ok(step, format!("{container} was missing, and is made")), true)
                }
                Ok(made) => failed(format!(
                    "{container} is missing, and making it is answered {}",
                    made.words()
                )),
                Err(error) => failed(error.to_string()),
            }
        }
        Ok(said) => failed(format!("{container}: the store answers {}", said.words())),
        Err(error) => failed(error.to_string()),
    }
}
