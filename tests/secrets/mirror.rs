//! Whoever the gate shows a secret to, at its most unkind: a CipherTrust Manager and a storage account that give back in their errors
//! all that they were told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::masked::Masked;

/// What the manager gives for a password.
pub struct Tokens {
    pub jwt: String,
    pub refresh: String,
}

pub struct Mirror {
    pub address: SocketAddr,
    told: Arc<Mutex<Masked>>,
}

impl Mirror {
    /// Serves until the process ends.
    pub fn start(tokens: Tokens) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Mutex::new(Masked::default()));
        let (tokens, noted) = (Arc::new(tokens), Arc::clone(&told));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tokens, noted) = (Arc::clone(&tokens), Arc::clone(&noted));
                thread::spawn(move || serve(stream, &tokens, &noted));
            }
        });
        Self { address, told }
    }

    /// Whether the gate has said this.
    pub fn was_told(&self, words: &str) -> bool {
        self.told.lock().unwrap().holds(words.as_bytes())
    }

    /// The SharedKey signatures that the gate has shown.
    pub fn signatures(&self) -> Vec<Masked> {
        self.told.lock().unwrap().after(b"SharedKey acme:", 44)
    }
}

fn serve(mut stream: TcpStream, tokens: &Tokens, noted: &Mutex<Masked>) {
    let Some(request) = request(&mut stream) else { return };
    noted.lock().unwrap().add(&request);
    let text = String::from_utf8_lossy(&request);
    let line = text.lines().next().unwrap_or_default();
    let (status, kind, body) = match line {
        line if line.contains("/api/v1/auth/tokens") => {
            let Tokens { jwt, refresh } = tokens;
            let body = format!(r#"{{"jwt":"{jwt}","refresh_token":"{refresh}","duration":300}}"#);
            ("200 OK", "application/json", body)
        }
        // By turns it does not take the token, and fails over it.
        line if line.contains("/api/v1/") => {
            let body = serde_json::json!({"code": 1, "codeDesc": text, "message": text}).to_string();
            ("500 Internal Server Error", "application/json", body)
        }
        // As a storage account tells of a signature that it finds wrong.
        _ => {
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>No.</Message>\
                 <AuthenticationErrorDetail>{}</AuthenticationErrorDetail></Error>",
                text.replace('&', "&amp;").replace('<', "&lt;")
            );
            ("403 Forbidden", "application/xml", body)
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nx-ms-error-code: AuthenticationFailed\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    // Whoever asked may be gone.
    let _ = stream.write_all((head + &body).as_bytes());
}

/// Head and body; `None` if it breaks off before its head does.
fn request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut block = [0; 4096];
    loop {
        let read = stream.read(&mut block).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&block[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        if body.len() >= length {
            return Some(bytes);
        }
    }
}
