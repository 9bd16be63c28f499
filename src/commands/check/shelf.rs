//! Where the round trip's object lies for a moment: the system container of either kind of store.

use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::Incoming;

use crate::commands::check::{blob_store, store};
use crate::seal::{Domain, Place};
use crate::upstream::{AzureCall, AzureStore, Call, Caller, Store, StoreBody, StoreError};

/// A system container.
#[derive(Clone, Copy)]
pub(super) enum Shelf<'a> {
    /// On S3's side.
    S3(&'a Store),
    /// On Azure's, where a store need not have one: with its name.
    Azure(&'a AzureStore, &'a str),
}

/// What it says to a request: the status, and the words for whoever reads the report.
pub(super) struct Word {
    pub(super) status: StatusCode,
    pub(super) words: String,
}

impl Shelf<'_> {
    /// Where an object of this name is bound to lie.
    pub(super) fn place<'b>(&'b self, name: &'b str) -> Place<'b> {
        let (domain, container) = match self {
            Self::S3(store) => (Domain::S3, store.system_container()),
            Self::Azure(_, container) => (Domain::Azure, *container),
        };
        Place {
            domain,
            container,
            name,
        }
    }

    /// Stores one.
    pub(super) async fn put(&self, name: &str, body: StoreBody) -> Result<Word, StoreError> {
        match self {
            Self::S3(store) => {
                let place = (store.system_container(), name);
                let said = store::send(store, &Caller::Gate, Method::PUT, place, "", body).await?;
                Ok(Word::of(said.status, said.words()))
            }
            Self::Azure(store, container) => {
                let mut call = Self::call(Method::PUT, container, name);
                let kind = HeaderValue::from_static("BlockBlob");
                call.headers.insert("x-ms-blob-type", kind);
                call.body = body;
                let said = blob_store::send(store, call).await?;
                Ok(Word::of(said.status, said.words()))
            }
        }
    }

    /// Removes one.
    pub(super) async fn delete(&self, name: &str) -> Result<Word, StoreError> {
        match self {
            Self::S3(store) => {
                let place = (store.system_container(), name);
                let said = store::ask(store, &Caller::Gate, Method::DELETE, place, "").await?;
                Ok(Word::of(said.status, said.words()))
            }
            Self::Azure(store, container) => {
                let said = blob_store::send(store, Self::call(Method::DELETE, container, name)).await?;
                Ok(Word::of(said.status, said.words()))
            }
        }
    }

    /// Begins to read one.
    pub(super) async fn get(&self, name: &str) -> Result<(StatusCode, Incoming), StoreError> {
        let answer = match self {
            Self::S3(store) => {
                let call = Call {
                    method: Method::GET,
                    bucket: store.system_container(),
                    key: name,
                    query: "",
                    caller: &Caller::Gate,
                    headers: HeaderMap::new(),
                    body: StoreBody::empty(),
                };
                store.send(call).await?
            }
            Self::Azure(store, container) => store.send(Self::call(Method::GET, container, name)).await?,
        };
        Ok((answer.status(), answer.into_body()))
    }

    fn call<'b>(method: Method, container: &'b str, blob: &'b str) -> AzureCall<'b> {
        AzureCall {
            method,
            secondary: false,
            container,
            blob,
            query: &[],
            headers: HeaderMap::new(),
            spelling: Extensions::new(),
            body: StoreBody::empty(),
        }
    }
}

impl Word {
    fn of(status: StatusCode, words: String) -> Self {
        Self { status, words }
    }
}
