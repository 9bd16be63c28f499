//! A client of the gate that speaks HTTP by hand, so that it can be wrong on purpose, and remembers every signature it shows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderValue, Request};
use portcullis::upstream::sigv4::{
    CanonicalRequest, Credential, PayloadHash, Scope, SecretKey, Signer, Timestamp, UNSIGNED_PAYLOAD,
};
use socket2::{Domain, Socket, Type};

use crate::masked::Masked;

const REGION: &str = "us-east-1";

pub struct Client {
    gate: SocketAddr,
    credential: Arc<Credential>,
    signer: Signer,
    /// Everything that came back, heads and bodies.
    pub heard: Vec<u8>,
    /// Every signature that was sent, right or wrong.
    pub signatures: Vec<Masked>,
}

/// An answer's status (0 for the rest of one), and all of its bytes.
pub struct Answer {
    pub status: u16,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Its beginning, for people.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(2000)]).into_owned()
    }
}

impl Client {
    pub fn new(gate: SocketAddr, access_key: &str, secret: &str) -> Self {
        let credential = Arc::new(Credential::new(access_key, SecretKey::new(secret)).unwrap());
        Self {
            gate,
            signer: Signer::new(Arc::clone(&credential), REGION, "s3"),
            credential,
            heard: Vec::new(),
            signatures: Vec::new(),
        }
    }

    /// A signed request, answered.
    pub fn ask(&mut self, line: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let parts = self.signed(line, headers, body.len());
        self.send(&parts, body)
    }

    /// The head of a signed request with a body of this length.
    pub fn signed(&mut self, line: &str, headers: &[(&'static str, &str)], length: usize) -> Parts {
        let mut parts = self.head(line, headers, length);
        self.signer
            .sign(&mut parts, PayloadHash::Unsigned, SystemTime::now())
            .unwrap();
        self.signatures.push(Masked::of(signature_of(&parts)));
        parts
    }

    /// The head of a request that is not signed, or that the caller signs in its own way.
    pub fn head(&self, line: &str, headers: &[(&'static str, &str)], length: usize) -> Parts {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .header("host", self.gate.to_string())
            .header("content-length", length)
            .header("connection", "close");
        request.body(()).unwrap().into_parts().0
    }

    /// A request whose signature stands in its query; `age` is how long ago it was made to last a minute.
    pub fn presigned(&mut self, line: &str, age: Duration, length: usize) -> Parts {
        let timestamp = Timestamp::at(SystemTime::now() - age);
        let scope = format!("{}/{REGION}/s3/aws4_request", timestamp.date());
        let separator = if line.contains('?') { '&' } else { '?' };
        let line = format!(
            "{line}{separator}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={}&X-Amz-Expires=60\
             &X-Amz-SignedHeaders=host",
            self.credential.access_key(),
            scope.replace('/', "%2F"),
            timestamp.as_str(),
        );
        let parts = self.head(&line, &[], length);
        let canonical = CanonicalRequest {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            signed_headers: "host",
            left_out_of_query: None,
            payload: UNSIGNED_PAYLOAD,
        };
        let key = self.credential.signing_key(&Scope::parse(&scope).unwrap());
        let signature = key.sign(&timestamp, &scope, &canonical.hash().unwrap());
        self.signatures.push(Masked::of(signature.as_str()));
        self.head(&format!("{line}&X-Amz-Signature={}", signature.as_str()), &[], length)
    }

    pub fn send(&mut self, parts: &Parts, body: &[u8]) -> Answer {
        let mut stream = self.begin(parts);
        // The gate may have answered and closed before it took all of the body.
        let _ = stream.write_all(body);
        self.hear(stream)
    }

    /// Sends a head, and leaves the rest to the caller. The window is small: an answer that nobody reads stalls.
    pub fn begin(&self, parts: &Parts) -> TcpStream {
        let mut text = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri).into_bytes();
        for (name, value) in &parts.headers {
            let lines: [&[u8]; 4] = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
            text.extend(lines.concat());
        }
        text.extend(b"\r\n");
        self.raw(&text)
    }

    pub fn raw(&self, bytes: &[u8]) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        socket.connect(&self.gate.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    /// All that comes until the gate closes or resets the connection.
    pub fn hear(&mut self, mut stream: TcpStream) -> Answer {
        let mut bytes = Vec::new();
        if let Err(error) = stream.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
        self.heard.extend_from_slice(&bytes);
        let digits = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        Answer { status, bytes }
    }
}

/// The signature in the headers of a signed request.
pub fn signature_of(parts: &Parts) -> &str {
    let value = parts.headers["authorization"].to_str().unwrap();
    value.rsplit_once("Signature=").unwrap().1
}

/// Replaces the last digit of a signature, wherever it stands.
pub fn forged(mut parts: Parts) -> Parts {
    let spoil = |text: &str| {
        let (kept, last) = text.split_at(text.len() - 1);
        format!("{kept}{}", if last == "0" { "1" } else { "0" })
    };
    match parts.headers.get("authorization") {
        Some(value) => {
            let value = spoil(value.to_str().unwrap());
            parts
                .headers
                .insert("authorization", HeaderValue::try_from(value).unwrap());
        }
        None => parts.uri = spoil(&parts.uri.to_string()).parse().unwrap(),
    }
    parts
}
