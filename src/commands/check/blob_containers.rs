//! A tenant's containers in an Azure store: there, and closed to those who come past the gate. They are only looked at.
//!
//! What can't be seen from here is who else has a key, a SAS or a role of the account; docs/azure.md says how to look.

use http::{HeaderName, Method, StatusCode};

use crate::azure::account::Anonymous;
use crate::azure::xml::Element;
use crate::commands::check::blob_store::{Said, ask, ask_as_nobody};
use crate::commands::check::report::{Finding, Step, Verdict};
use crate::config::{AzureAccount, AzureRule};
use crate::upstream::AzureStore;

const PUBLIC_ACCESS: HeaderName = HeaderName::from_static("x-ms-blob-public-access");
const HIERARCHICAL: HeaderName = HeaderName::from_static("x-ms-is-hns-enabled");
const CONTAINER: (&str, &str) = ("restype", "container");
/// What an account says that lets nobody in, whatever its containers say.
const FORBIDDEN: &str = "PublicAccessNotPermitted";

/// Containers as the configuration names them.
#[derive(Clone, Copy)]
pub(super) struct Meant<'a> {
    pub(super) account: &'a AzureAccount,
    pub(super) rule: &'a AzureRule,
}

impl Meant<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.account.name, self.rule.name.as_str())
    }

    /// Nothing could be tried.
    pub(super) fn skipped(&self, because: Step) -> [Finding; 2] {
        [Step::Containers, Step::DirectAccess].map(|step| Finding::skipped(step, because).of(&self.name()))
    }
}

/// The steps of a tenant's containers, and of the account that they lie in.
pub(super) async fn containers(store: &AzureStore, name: &str, meant: &[Meant<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(beside(store).await.map(|finding| finding.of(name)));
    for meant in meant {
        let name = meant.name();
        if !meant.rule.name.is_literal() {
            let found = "not tried: a pattern names no container that could be looked for";
            findings.push(Finding::new(Step::Containers, Verdict::Skipped, found).of(&name));
            continue;
        }
        let container = meant.rule.name.as_str();
        let one = [CONTAINER, ("comp", "list"), ("maxresults", "1")];
        let failed = match ask(store, Method::GET, (container, ""), &one).await {
            Ok(said) if said.status == StatusCode::OK => {
                findings.push(Finding::ok(Step::Containers, "there, and the gate may list it").of(&name));
                let access = direct_access(store, meant, first(&said)).await;
                findings.push(access.of(&name));
                continue;
            }
            // A client may be about to make it, as Azure's SDKs like to.
            Ok(said) if said.status == StatusCode::NOT_FOUND => {
                let account = store.account();
                let make = format!(
                    "az storage container create --account-name {account} --name {container} --auth-mode login"
                );
                let found = format!("not there yet: the store answers {}", said.words());
                Finding::warning(Step::Containers, found)
                    .fix([format!("let a client make it through the gate, or: {make}")])
            }
            Ok(said) => {
                let account = store.account();
                let advice =
                    format!("let the gate's credential list, read, write and delete in {container} of {account}");
                Finding::failed(Step::Containers, format!("the store answers {}", said.words())).fix([advice])
            }
            Err(error) => Finding::failed(Step::Containers, error.to_string()),
        };
        findings.push(failed.of(&name));
        findings.push(Finding::skipped(Step::DirectAccess, Step::Containers).of(&name));
    }
    findings
}

/// The name of the one blob of a listing.
fn first(said: &Said) -> Option<String> {
    let document = Element::parse(&said.body).ok()?;
    let name = document.child("Blobs")?.child("Blob")?.text_of("Name").to_owned();
    (!name.is_empty()).then_some(name)
}

/// The account's other endpoint, where it has one that means anything.
async fn beside(store: &AzureStore) -> Option<Finding> {
    let query = [("restype", "account"), ("comp", "properties")];
    let said = ask(store, Method::HEAD, ("", ""), &query).await.ok()?;
    let hierarchical = said.headers.get(HIERARCHICAL).is_some_and(|value| value == "true");
    hierarchical.then(|| {
        let found = "the account has a hierarchical namespace: past the gate, its dfs endpoint reads and writes for whoever has a key, \
                     a SAS or a role there";
        let advice = format!(
            "let nobody but the gate reach it: az storage account update --name {} --default-action Deny, and private endpoints",
            store.account()
        );
        Finding::warning(Step::DirectAccess, found).fix([advice])
    })
}

/// Whether the world may look into a container without the gate: what it sees is sealed, but names, sizes and metadata are not.
async fn direct_access(store: &AzureStore, meant: &Meant<'_>, blob: Option<String>) -> Finding {
    let step = Step::DirectAccess;
    let container = meant.rule.name.as_str();
    let one = [CONTAINER, ("comp", "list"), ("maxresults", "1")];
    let listed = match ask_as_nobody(store, Method::GET, (container, ""), &one).await {
        Ok(said) => said,
        Err(error) => return Finding::new(step, Verdict::Skipped, error.to_string()),
    };
    let read = match &blob {
        Some(blob) => ask_as_nobody(store, Method::HEAD, (container, blob), &[]).await.ok(),
        None => None,
    };
    let level = level(store, container).await;
    let mut found = Vec::new();
    if listed.status.is_success() {
        found.push("anybody may list it");
    }
    match (&read, &level) {
        (Some(read), _) if read.status.is_success() => found.push("anybody may read a blob of it"),
        (None, Some(_)) if listed.code() != FORBIDDEN => {
            found.push("anybody may read blobs of it, once there are some")
        }
        _ => {}
    }
    if found.is_empty() {
        let told = read.as_ref().unwrap_or(&listed).words();
        let set = match level {
            Some(level) => format!("; the container says `{level}`, and the account forbids it"),
            None => String::new(),
        };
        let others = "; keys, SAS and roles of others can't be seen from here";
        return Finding::ok(step, format!("who shows nothing is answered {told}{set}{others}"));
    }
    let found = format!(
        "past the gate, {}: sealed bytes, but names and sizes in clear",
        found.join(", and ")
    );
    let account = store.account();
    let advice = [
        format!("az storage account update --name {account} --allow-blob-public-access false"),
        format!("az storage container set-permission --account-name {account} --name {container} --public-access off"),
    ];
    let meant = (meant.rule.anonymous != Anonymous::Nothing)
        .then(|| "the container is configured `anonymous`: then only through the gate".to_owned());
    Finding::warning(step, found).fix(meant.into_iter().chain(advice))
}

/// The level of public access that the container says it has (Get Container Properties); `None` where it is closed, or does not say.
async fn level(store: &AzureStore, container: &str) -> Option<String> {
    let said = ask(store, Method::HEAD, (container, ""), &[CONTAINER]).await.ok()?;
    let level = said.headers.get(PUBLIC_ACCESS)?.to_str().ok()?;
    ["blob", "container"].contains(&level).then(|| level.to_owned())
}
