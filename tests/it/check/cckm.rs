//! What CipherTrust says of a key, beside what its vault says.

use std::fs;

use http::StatusCode;
use portcullis::dev::cckm::Cckm;
use serde_json::Value;
use tokio::net::TcpListener;

use super::{BINARY, CCKM, Site};

#[tokio::test]
async fn what_cckm_says_is_compared_with_the_vault() {
    let site = Site::start().await;
    let cckm = Cckm::start(&site.standin, "portcullis", CCKM).await.unwrap();
    fs::write(site.data.join("cckm-secret"), CCKM).unwrap();
    let with_cckm = |text: String| {
        let (endpoint, ca) = (cckm.endpoint(), site.standin.ca_file().display().to_string());
        format!(
            "{text}[cckm.main]\nendpoint = \"{endpoint}\"\nusername = \"portcullis\"\n\
             password = {{ file = \"cckm-secret\" }}\nca_file = \"{ca}\"\ntenants = [\"acme\"]\n"
        )
    };
    let report = site.check_with("acme", with_cckm).await;
    assert_eq!(
        (report.status, report.verdict("cckm")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(
        report.found("cckm").contains("does not know the key"),
        "{}",
        report.text
    );
    let key = cckm.manage(site.standin.customer("acme"), &site.standin.key_url("acme"));
    let key = key.unwrap();
    assert_eq!(site.check_with("acme", with_cckm).await.verdict("cckm"), "ok");
    key.set_enabled(false).unwrap();
    site.standin.customer("acme").enable_key().unwrap();
    let report = site.check_with("acme", with_cckm).await;
    assert_eq!(report.step("cckm")["reason"], "disagreement", "{}", report.text);
    assert_eq!(report.status, 0, "CCKM is no authority");
    cckm.fail(Some(StatusCode::SERVICE_UNAVAILABLE));
    let report = site.check_with("acme", with_cckm).await;
    assert_eq!(
        (report.status, report.verdict("cckm")),
        (0, "warning"),
        "{}",
        report.text
    );
    let globex = site.check_with("globex", with_cckm).await;
    assert!(
        globex.steps.iter().all(|step| step["step"] != "cckm"),
        "not its manager"
    );
}

#[tokio::test]
async fn a_running_gate_shows_what_cckm_says_on_the_admin_listener() {
    let site = Site::start().await;
    let cckm = Cckm::start(&site.standin, "portcullis", CCKM).await.unwrap();
    cckm.manage(site.standin.customer("acme"), &site.standin.key_url("acme"))
        .unwrap();
    fs::write(site.data.join("cckm-secret"), CCKM).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = free.local_addr().unwrap();
    drop(free);
    let file = site.write(|text| {
        let (endpoint, ca) = (cckm.endpoint(), site.standin.ca_file().display().to_string());
        format!(
            "{text}[admin]\naddress = \"{admin}\"\n[cckm.main]\nendpoint = \"{endpoint}\"\nusername = \"portcullis\"\n\
             password = {{ file = \"cckm-secret\" }}\nca_file = \"{ca}\"\n"
        )
    });
    let mut gate = tokio::process::Command::new(BINARY)
        .args(["serve", "--config"])
        .arg(file)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let began = std::time::Instant::now();
    let board = loop {
        let asked = reqwest::get(format!("http://{admin}/cckm")).await;
        let text = match asked {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => String::new(),
        };
        if text.contains("\"answer\":\"ok\"") {
            break text;
        }
        assert!(began.elapsed().as_secs() < 20, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    gate.kill().await.unwrap();
    assert!(!board.contains(CCKM), "{board}");
    let board: Value = serde_json::from_str(&board).unwrap();
    let tenants = board["managers"][0]["tenants"].as_array().unwrap();
    let state = |name: &str| tenants.iter().find(|seen| seen["tenant"] == name).unwrap()["state"].clone();
    assert_eq!(state("acme"), "enabled");
    assert_eq!(state("globex"), Value::Null, "not under its management");
}
