//! The steps towards an Azure store: connection and the gate's own credential there, its clock, and the container that belongs to
//! the gate where it keeps the keyring. Nothing of a customer's is looked at.

use http::header::DATE;
use http::{Extensions, HeaderMap, HeaderName, Method, StatusCode};

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
    headers: HeaderMap,
}

impl Said {
    fn code(&self) -> &str {
        let code = self.headers.get(ERROR_CODE).and_then(|code| code.to_str().ok());
        code.filter(|code| code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .unwrap_or_default()
    }

    /// `403 AuthenticationFailed`.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.code()).trim().to_owned()
    }
}

async fn ask(store: &AzureStore, method: Method, container: &str, query: &[(&str, &str)]) -> Result<Said, StoreError> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let query: Vec<_> = query.iter().map(own).collect();
    let call = AzureCall {
        method,
        secondary: false,
        container,
        blob: "",
        query: &query,
        headers: HeaderMap::new(),
        spelling: Extensions::new(),
        body: StoreBody::empty(),
    };
    send(store, call).await
}

/// Asks a store about anything, and reads its answer whole.
pub(super) async fn send(store: &AzureStore, call: AzureCall<'_>) -> Result<Said, StoreError> {
    let (head, body) = store.send(call).await?.into_parts();
    collect(body, LARGEST_ANSWER).await?;
    Ok(Said {
        status: head.status,
        headers: head.headers,
    })
}

/// The steps of one store; whether it answers the gate, with the container that it needs.
pub(super) async fn examine(name: &str, store: &AzureStore) -> (Vec<Finding>, bool) {
    let said = match ask(store, Method::GET, "", &[("comp", "list"), ("maxresults", "1")]).await {
        Ok(said) => said,
        Err(error) => {
            let advice = [
                "see the store's `endpoint`, that it is up, and that connections from here are allowed".to_owned(),
                "with an identity, see the log for why there is no token".to_owned(),
            ];
            let clock = Finding::skipped(Step::StoreClock, Step::Store).of(name);
            let failed = Finding::failed(Step::Store, error.to_string()).of(name).fix(advice);
            return (vec![failed, clock], false);
        }
    };
    let date = said.headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?));
    let clock = match date {
        Some(date) => clock::compared(Step::StoreClock, "store", date).of(name),
        None => Finding::new(Step::StoreClock, Verdict::Skipped, "the store tells no time").of(name),
    };
    let (answer, reached) = answered(store, &said);
    let mut findings = vec![answer.of(name), clock];
    match (store.system_container(), reached) {
        (None, reached) => (findings, reached),
        (Some(_), false) => {
            findings.push(Finding::skipped(Step::SystemContainer, Step::Store).of(name));
            (findings, false)
        }
        (Some(container), true) => {
            let (finding, there) = system_container(store, container).await;
            findings.push(finding.of(name));
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
    match ask(store, Method::HEAD, container, &whole).await {
        Ok(said) if said.status == StatusCode::OK => (Finding::ok(step, format!("{container} is there")), true),
        Ok(said) if said.status == StatusCode::NOT_FOUND => match ask(store, Method::PUT, container, &whole).await {
            Ok(made) if made.status.is_success() => {
                (Finding::ok(step, format!("{container} was missing, and is made")), true)
            }
            Ok(made) => failed(format!(
                "{container} is missing, and making it is answered {}",
                made.words()
            )),
            Err(error) => failed(error.to_string()),
        },
        Ok(said) => failed(format!("{container}: the store answers {}", said.words())),
        Err(error) => failed(error.to_string()),
    }
}
