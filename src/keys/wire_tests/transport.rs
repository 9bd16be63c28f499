//! The transport over real connections on loopback: each kind of silence, and where requests go.

use crate::keys::refusal::{Refusal, Service, Unavailable};
use crate::keys::transport::{NameUnresolved, Seen, Transport, TransportError, TransportOptions};
use azure_core::http::{Context, Method, Pipeline, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let port = TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refusal = ask(options(), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(refusal, Some(Unavailable::Unreachable { by: Service::Vault }.into()));
}

#[tokio::test]
async fn an_answer_cut_short_is_unreachable() {
    for bytes in ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"] {
        let url = serve(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(bytes.as_bytes()).await.unwrap();
        })
        .await;
        assert_eq!(
            ask(options(), &url).await,
            Some(Unavailable::Unreachable { by: Service::Vault }.into())
        );
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let url = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
        while stream.write_all(&[b' '; 4096]).await.is_ok() {}
    })
    .await;
    assert_eq!(
        ask(options(), &url).await,
        Some(Unavailable::Unreachable { by: Service::Vault }.into())
    );
}

#[tokio::test]
async fn a_silent_service_times_out() {
    let url = serve(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending().await
    })
    .await;
    let brief = TransportOptions {
        deadline: Duration::from_millis(50),
        ..options()
    };
    assert_eq!(
        ask(brief, &url).await,
        Some(Unavailable::Timeout { by: Service::Vault }.into())
    );
}

#[tokio::test]
async fn a_certificate_outside_the_configured_roots_fails_the_handshake() {
    let ours = certificate();
    let trusting = TransportOptions {
        ca_pem: Some(ours.cert.pem().into_bytes()),
        ..options()
    };
    assert_eq!(ask(trusting.clone(), &serve_tls(&ours).await).await, None);
    let refusal = ask(trusting, &serve_tls(&certificate()).await).await;
    assert_eq!(refusal, Some(Unavailable::TlsFailed { by: Service::Vault }.into()));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_apart() {
    struct Nowhere;
    impl reqwest::dns::Resolve for Nowhere {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            Box::pin(async { Err(NameUnresolved.into()) })
        }
    }
    let http = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(Arc::new(Nowhere))
        .build()
        .unwrap();
    let transport = Transport::over(Arc::new(http), Duration::from_secs(10));
    let refusal = ask_over(&transport, "http://gone.vault.example/").await;
    assert_eq!(refusal, Some(Unavailable::NameUnresolved { by: Service::Vault }.into()));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let url = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let transport = Transport::new(options()).unwrap();
    let seen = transport.observe(send(&transport, Service::Vault, &url)).await;
    assert!(matches!(seen, Err(Seen::Answer(Service::Vault, raw)) if raw.status == 302));
}

#[tokio::test]
async fn the_metadata_service_is_asked_at_the_configured_endpoint() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let url = serve(move |mut stream| async move {
        let _ = tell.send(read_head(&mut stream).await);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
    })
    .await;
    let transport = Transport::new(TransportOptions {
        imds_endpoint: Some(url.parse().unwrap()),
        ..options()
    })
    .unwrap();
    let imds = "http://169.254.169.254/metadata/identity/oauth2/token?resource=x";
    let answered = transport.observe(send(&transport, Service::Identity, imds)).await;
    assert!(answered.is_ok());
    assert!(
        told.await
            .unwrap()
            .starts_with("GET /metadata/identity/oauth2/token?resource=x HTTP/1.1")
    );
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    for pem in ["", "nonsense"] {
        let refused = Transport::new(TransportOptions {
            ca_pem: Some(pem.into()),
            ..options()
        });
        assert!(matches!(refused, Err(TransportError::Certificates)));
    }
}

fn options() -> TransportOptions {
    TransportOptions::default()
}

async fn ask(options: TransportOptions, url: &str) -> Option<Refusal> {
    ask_over(&Transport::new(options).unwrap(), url).await
}

async fn ask_over(transport: &Transport, url: &str) -> Option<Refusal> {
    match transport.observe(send(transport, Service::Vault, url)).await {
        Ok(()) => None,
        Err(Seen::Refused(refusal)) => Some(refusal),
        Err(Seen::Asking(by)) => Some(Unavailable::Timeout { by }.into()),
        Err(Seen::Nothing | Seen::Answer(..)) => panic!("no refusal of the transport's"),
    }
}

/// One request through the SDK's pipeline.
async fn send(transport: &Transport, service: Service, url: &str) -> azure_core::Result<()> {
    let pipeline = Pipeline::new(
        None,
        None,
        transport.options(service, None),
        Vec::new(),
        Vec::new(),
        None,
    );
    let mut request = Request::new(url.parse()?, Method::Get);
    pipeline.send(&Context::new(), &mut request, None).await.map(drop)
}

/// Serves one connection; the URL of its listener.
async fn serve<F: Future<Output = ()> + Send>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    format!("http://vault.localhost:{port}/")
}

async fn serve_tls(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    let chain = vec![certified.cert.der().clone()];
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let url = serve(|stream| async move {
        let Ok(mut stream) = acceptor.accept(stream).await else {
            return;
        };
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let _ = stream.shutdown().await;
    })
    .await;
    url.replace("http:", "https:")
}

fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["vault.localhost".to_owned()]).unwrap()
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}
