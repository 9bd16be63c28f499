//! What is shipped for running the gate holds together: the configurations load, the balancer finds the gates, and the
//! operations page and the dashboard speak of the metrics and events that there are.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use portcullis::config::Config;
use portcullis::dev::standin::{ACME_TENANT, APP_CLIENT, IDENTITY_CLIENT};

const COMPOSE: &str = include_str!("../../docker-compose.yml");
const BALANCER: &str = include_str!("../../deploy/compose/haproxy.cfg");
const OPERATIONS: &str = include_str!("../../docs/operations.md");
const DASHBOARD: &str = include_str!("../../deploy/grafana/portcullis.json");

#[test]
fn both_gates_of_the_compose_file_load_their_configuration() {
    let files = Files::new("compose");
    let text = include_str!("../../config/compose.toml");
    let (listen, admin) = (settings(COMPOSE, "LISTEN: "), settings(COMPOSE, "ADMIN: "));
    assert_eq!((listen.len(), admin.len()), (2, 2));
    for (listen, admin) in listen.into_iter().zip(admin) {
        let config = files.load(text, |name| match name {
            "LISTEN" => Some(listen.to_owned()),
            "ADMIN" => Some(admin.to_owned()),
            _ => None,
        });
        assert_eq!(config.listeners[0].address.to_string(), listen);
        // Where the balancer looks for it, and asks for its health; where that is published.
        let port = admin.parse::<SocketAddr>().unwrap().port();
        assert!(BALANCER.contains(&format!("{listen} port {port}\n")), "{listen}");
        assert!(COMPOSE.contains(&format!("\"127.0.0.1:{port}:{port}\"")), "{port}");
    }
}

#[test]
fn the_compose_file_starts_the_stand_ins_where_the_gates_look_for_them() {
    let files = Files::new("stand-ins");
    let config = files.load(include_str!("../../config/compose.toml"), |_| {
        Some("127.0.0.1:0".to_owned())
    });
    let port = |flag| settings(COMPOSE, flag)[0];
    let vault = format!("localhost:{}", port("- --vault-port="));
    assert_eq!(
        config.stores["main"].authority,
        format!("127.0.0.1:{}", port("- --store-port="))
    );
    assert_eq!(
        config.keys.transport.imds_endpoint.unwrap().as_str(),
        format!("http://127.0.0.1:{}/", port("- --imds-port="))
    );
    for (name, tenant) in &config.tenants {
        let key = format!("https://{name}-vault.{vault}/keys/{name}-cmk");
        assert_eq!(tenant.key.versionless(), key);
        let identity = format!("{:?}", tenant.identity);
        assert!(identity.contains(IDENTITY_CLIENT), "{identity}");
    }
    let acme = format!("{:?}", config.tenants["acme"].identity);
    for part in [APP_CLIENT, ACME_TENANT, &format!("https://login.{vault}")] {
        assert!(acme.contains(part), "{acme}");
    }
    assert!(BALANCER.contains(&format!("bind :{}\n", port("- --s3-port="))));
}

#[test]
fn the_configurations_for_kubernetes_load() {
    let fleet = Files::new("fleet").load(include_str!("../../deploy/kubernetes/fleet/portcullis.toml"), |_| None);
    assert!(fleet.listeners[0].tls.is_some() && !fleet.dev);
    let sidecar = Files::new("sidecar").load(include_str!("../../deploy/kubernetes/sidecar/portcullis.toml"), |_| {
        None
    });
    assert!(sidecar.listeners[0].address.ip().is_loopback() && !sidecar.dev);
}

#[test]
fn every_metric_is_explained_and_none_that_is_not() {
    let known: BTreeSet<_> = include_str!("../../src/telemetry/metrics.rs")
        .split(".register(")
        .skip(1)
        .filter_map(|rest| Some(format!("portcullis_{}", rest.split('"').nth(1)?)))
        .collect();
    assert!(known.len() >= 6, "{known:?}");
    for text in [OPERATIONS, DASHBOARD] {
        let named = words(text, "portcullis_").map(|name| name.trim_end_matches("_total").to_owned());
        assert_eq!(named.collect::<BTreeSet<_>>(), known);
    }
}

#[test]
fn every_audit_event_is_explained() {
    let known: Vec<_> = include_str!("../../src/telemetry/audit.rs")
        .split("audit!(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(known.len() >= 10, "{known:?}");
    for event in known {
        assert!(OPERATIONS.contains(&format!("\n| `{event}` |")), "{event}");
    }
}

#[test]
fn the_dashboard_is_json() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    assert_eq!(dashboard["uid"], "portcullis");
}

/// The values of a setting, wherever its name stands in a file.
fn settings<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.trim().strip_prefix(name)).collect()
}

/// The names in a text that begin with `prefix`.
fn words<'t>(text: &'t str, prefix: &str) -> impl Iterator<Item = &'t str> {
    text.match_indices(prefix).map(|(at, _)| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// A directory with what a configuration refers to, made up; removed when dropped.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("deploy-{name}"));
        let _ = fs::remove_dir_all(&folder);
        Self(folder)
    }

    /// The configuration, with absolute paths moved below the directory.
    fn load(&self, text: &str, env: impl Fn(&str) -> Option<String>) -> Config {
        let below = |path: &str| format!("\"{}{path}", self.0.display());
        let text = ["/run/", "/var/run/"].into_iter().fold(text.to_owned(), |text, root| {
            text.replace(&format!("\"{root}"), &below(root))
        });
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        for path in text
            .split('"')
            .filter(|part| part.contains('/') && !part.contains("://"))
        {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let contents = match path.extension().and_then(|ending| ending.to_str()) {
                Some("pem" | "crt") => made.cert.pem(),
                Some("key") => made.signing_key.serialize_pem(),
                _ => "0123456789abcdef".repeat(4),
            };
            fs::write(path, contents).unwrap();
        }
        match Config::parse(&text, &self.0, env) {
            Ok(config) => config,
            Err(mistakes) => panic!("{mistakes}"),
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
