//! The stand-in for Azure, over the wire: it must answer as the real services do, or the tests that lean on it prove nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the rig stands outside of #[test]"
)]

mod faults;
mod identity;
mod keys;
mod process;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis::dev::standin::{Standin, StandinOptions};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// A stand-in on free ports, with an HTTP client that trusts it and finds it under all its names.
struct Rig {
    standin: Standin,
    http: reqwest::Client,
    dir: TempDir,
}

struct TempDir(PathBuf);

/// What came back.
#[derive(Debug)]
struct Got {
    status: u16,
    challenge: Option<String>,
    body: Value,
    text: String,
}

impl TempDir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "portcullis-standin-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Rig {
    async fn start() -> Self {
        Self::start_in(TempDir::new()).await
    }

    async fn start_in(dir: TempDir) -> Self {
        let options = StandinOptions {
            data: dir.0.clone(),
            https_port: 0,
            imds_port: 0,
        };
        let standin = Standin::start(options).await.unwrap();
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let names = [
            "login.localhost",
            "acme-vault.localhost",
            "globex-vault.localhost",
            "no-vault.vault.localhost",
        ];
        let ca = reqwest::Certificate::from_pem(standin.ca_pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([ca]).no_proxy();
        let builder = names
            .into_iter()
            .fold(builder, |builder, name| builder.resolve(name, loopback));
        Self {
            standin,
            http: builder.build().unwrap(),
            dir,
        }
    }

    /// The data directory, when the stand-in has stopped.
    async fn stop(self) -> TempDir {
        self.standin.shutdown().await;
        self.dir
    }

    async fn identity_token(&self, resource: &str) -> Got {
        let url = format!(
            "{}/metadata/identity/oauth2/token?api-version=2019-08-01&resource={resource}&client_id={}",
            self.standin.imds_endpoint(),
            self.standin.identity_client_id()
        );
        send(self.http.get(url).header("metadata", "true")).await
    }

    /// The federated exchange of the ISV's application, up to the token endpoint of acme's tenant.
    async fn exchange(&self) -> Got {
        let assertion = self
            .identity_token("api://AzureADTokenExchange")
            .await
            .string("access_token");
        self.exchange_with(
            &assertion,
            &self.standin.tenant_id("acme"),
            self.standin.app_client_id(),
        )
        .await
    }

    async fn exchange_with(&self, assertion: &str, tenant: &str, client_id: &str) -> Got {
        let form = format!(
            "client_assertion={assertion}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3A\
             jwt-bearer&client_id={client_id}&grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default"
        );
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.standin.authority());
        send(
            self.http
                .post(url)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form),
        )
        .await
    }

    /// The proxy's token for a customer's vault.
    async fn token(&self, customer: &str) -> String {
        match customer {
            "acme" => self.exchange().await.string("access_token"),
            _ => self
                .identity_token("https://vault.azure.net")
                .await
                .string("access_token"),
        }
    }

    /// The token of whoever administers a customer's keys.
    async fn admin_token(&self, customer: &str) -> String {
        let admin = self.standin.customer(customer).administrator().unwrap();
        let form = format!(
            "client_id={}&client_secret={}&grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default",
            admin.client_id,
            admin.secret()
        );
        let url = format!("{}/{}/oauth2/v2.0/token", self.standin.authority(), admin.tenant_id);
        send(self.http.post(url).body(form)).await.string("access_token")
    }

    /// A request to a vault: `path` below its URL.
    fn vault(&self, method: Method, customer: &str, path: &str, token: &str) -> RequestBuilder {
        let url = self.standin.vault_url(&format!("{customer}-vault"));
        let separator = if path.contains('?') { '&' } else { '?' };
        let request = self
            .http
            .request(method, format!("{url}/{path}{separator}api-version=7.6"));
        request.header("authorization", format!("Bearer {token}"))
    }

    async fn get(&self, customer: &str, path: &str, token: &str) -> Got {
        send(self.vault(Method::GET, customer, path, token)).await
    }

    async fn post(&self, customer: &str, path: &str, token: &str, body: &Value) -> Got {
        send(self.vault(Method::POST, customer, path, token).body(body.to_string())).await
    }

    async fn wrap(&self, customer: &str, token: &str) -> Got {
        self.post(
            customer,
            &format!("keys/{customer}-cmk//wrapkey"),
            token,
            &wrap_body("AAECAwQFBgc"),
        )
        .await
    }

    async fn unwrap(&self, customer: &str, token: &str, version: &str, wrapped: &str) -> Got {
        let path = format!("keys/{customer}-cmk/{version}/unwrapkey");
        self.post(customer, &path, token, &wrap_body(wrapped)).await
    }
}

impl Got {
    fn string(&self, name: &str) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {}", self.text))
            .to_owned()
    }

    /// Status, code and inner code of a vault's error.
    fn refusal(&self) -> (u16, &str, &str) {
        let error = &self.body["error"];
        (
            self.status,
            error["code"].as_str().unwrap_or(""),
            error["innererror"]["code"].as_str().unwrap_or(""),
        )
    }

    /// Status and AADSTS number of an Entra error.
    fn aadsts(&self) -> (u16, u64) {
        (self.status, self.body["error_codes"][0].as_u64().unwrap_or(0))
    }
}

/// A client without open connections, which trusts the stand-in and finds it under all its names.
fn client(standin: &Standin) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(standin.ca_pem().as_bytes()).unwrap();
    let builder = reqwest::Client::builder().tls_certs_only([ca]).no_proxy();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let names = ["login.localhost", "acme-vault.localhost", "globex-vault.localhost"];
    names
        .into_iter()
        .fold(builder, |builder, name| builder.resolve(name, loopback))
        .build()
        .unwrap()
}

fn wrap_body(value: &str) -> Value {
    json!({"alg": "RSA-OAEP-256", "value": value})
}

async fn send(request: RequestBuilder) -> Got {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let challenge = response
        .headers()
        .get("www-authenticate")
        .map(|value| value.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Got {
        status,
        challenge,
        body,
        text,
    }
}

fn version_of(kid: &str) -> String {
    kid.rsplit('/').next().unwrap().to_owned()
}
