//! A client of the gate's Azure side: SharedKey and SAS, right and nearly right.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis::upstream::http_date;
use portcullis::upstream::shared_key::{AccountKey, Order, Plus, Scheme, Signable};

use time::OffsetDateTime;

use crate::masked::Masked;

const VERSION: &str = "2021-12-02";

pub struct Blobs {
    gate: SocketAddr,
    key: AccountKey,
    /// Everything that came back.
    pub heard: Vec<u8>,
    /// Every signature that was sent, right or wrong.
    pub signatures: Vec<Masked>,
}

impl Blobs {
    pub fn new(gate: SocketAddr, key: &str) -> Self {
        Self {
            gate,
            key: AccountKey::parse(key).unwrap(),
            heard: Vec::new(),
            signatures: Vec::new(),
        }
    }

    /// A request with a signature in its head, for `target` below the account, spoilt if `forged`.
    pub fn shared_key(&mut self, target: &str, forged: bool) -> u16 {
        let date = http_date(OffsetDateTime::now_utc()).unwrap();
        let path = format!("/acme/{target}");
        let version = HeaderValue::from_static(VERSION);
        let headers = HeaderMap::from_iter([
            (http::HeaderName::from_static("x-ms-date"), date.clone()),
            (http::HeaderName::from_static("x-ms-version"), version),
        ]);
        let signable = Signable {
            method: &Method::GET,
            headers: &headers,
            account: "acme",
            path: &path,
            query: "",
        };
        let text = signable.text(Scheme::SharedKey, Order::Bytes, Plus::Space);
        let signature = spoilt(self.key.sign(&text), forged);
        let more = format!(
            "x-ms-date: {}\r\nauthorization: SharedKey acme:{signature}\r\n",
            date.to_str().unwrap()
        );
        self.signatures.push(Masked::of(&signature));
        self.ask(&path, &more)
    }

    /// A request with a SAS of the account's, which reads blobs for the rest of the century.
    pub fn sas(&mut self, target: &str, forged: bool) -> u16 {
        let ends = "2099-01-01T00:00:00Z";
        let text = ["acme", "r", "b", "o", "", ends, "", "", VERSION, "", ""].join("\n");
        let signature = spoilt(self.key.sign(text.as_bytes()), forged);
        let escaped = utf8_percent_encode(&signature, NON_ALPHANUMERIC).to_string();
        self.signatures.push(Masked::of(&signature));
        self.signatures.push(Masked::of(&escaped));
        let path = format!("/acme/{target}?sv={VERSION}&ss=b&srt=o&sp=r&se={ends}&sig={escaped}");
        self.ask(&path, "")
    }

    /// A request with somebody's token.
    pub fn bearer(&mut self, target: &str, token: &str) -> u16 {
        self.ask(
            &format!("/acme/{target}"),
            &format!("authorization: Bearer {token}\r\n"),
        )
    }

    fn ask(&mut self, path: &str, more: &str) -> u16 {
        let mut stream = TcpStream::connect(self.gate).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nx-ms-version: {VERSION}\r\n{more}connection: close\r\n\r\n",
            self.gate
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        self.heard.extend_from_slice(&answer);
        let digits = std::str::from_utf8(&answer[9..12]).unwrap();
        digits.parse().unwrap()
    }
}

/// With another first letter, if asked for: the last one's bits need not all count.
fn spoilt(signature: String, forged: bool) -> String {
    let (first, rest) = signature.split_at(1);
    match (forged, first) {
        (false, _) => signature,
        (true, "A") => format!("B{rest}"),
        (true, _) => format!("A{rest}"),
    }
}
