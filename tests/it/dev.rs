//! `portcullis dev`, run as a user runs it, and driven by an unmodified S3 SDK.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

#[test]
fn a_customers_objects_are_sealed_and_shut_when_the_customer_says_no() {
    let dev = Dev::start("end-to-end");
    dev.python("end_to_end.py", &[BINARY.as_ref(), &dev.data]);
    let data = dev.data.clone();
    assert!(dev.stop().success());
    trail_holds(&data);
}

#[test]
fn what_the_store_changed_is_never_served() {
    let dev = Dev::start("hostile-store");
    dev.python("hostile_store.py", &[&dev.data]);
    assert!(dev.stop().success());
}

#[test]
fn sdks_upload_in_parts() {
    let dev = Dev::start("multipart");
    dev.python("multipart.py", &[&dev.data]);
    assert!(dev.stop().success());
}

#[test]
fn what_sdks_sign_for_others_is_taken() {
    let dev = Dev::start("forms-and-urls");
    dev.python("forms_and_urls.py", &[&dev.data]);
    assert!(dev.stop().success());
}

#[test]
fn gates_killed_at_random_lose_nothing_that_was_stored() {
    let home = scratch("killed-gates");
    python("killed_gates.py", &[BINARY.as_ref(), &home], &home);
}

#[test]
fn a_tenants_terms_leave_it_open_to_clean_up() {
    let dev = Dev::start("terms");
    dev.python("terms.py", &[BINARY.as_ref(), &dev.data]);
    assert!(dev.stop().success());
}

#[test]
fn a_gate_that_was_stopped_past_the_bound_lets_no_byte_go_when_it_wakes() {
    let dev = Dev::start("stopped");
    dev.python("stopped.py", &[BINARY.as_ref(), &dev.data]);
    assert!(dev.stop().success());
}

#[test]
fn what_is_done_in_cckm_arrives_through_the_vault() {
    let dev = Dev::start("cckm");
    dev.python("cckm.py", &[BINARY.as_ref(), &dev.data]);
    assert!(dev.stop().success());
}

#[test]
fn a_restart_finds_everything_again() {
    let dev = Dev::start("restart");
    dev.python("restart.py", &[&dev.data, Path::new("before")]);
    let ports = dev.ports;
    let second = Command::new(BINARY)
        .args(["dev", "--data"])
        .arg(&dev.data)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2), "one dev a directory");
    assert!(dev.data.join("dev.env").exists(), "the first one's");
    assert!(dev.stop().success());
    let dev = Dev::at("restart", ports);
    dev.python("restart.py", &[&dev.data, Path::new("after")]);
    assert!(!fs::read_to_string(dev.data.join("dev.env")).unwrap().is_empty());
    let data = dev.data.clone();
    assert!(dev.stop().success());
    assert!(!data.join("dev.env").exists(), "nothing answers there any more");
}

#[test]
fn what_cannot_run_says_why_and_exits_with_two() {
    let (status, said) = run(&["serve", "--config", "/nonexistent.toml"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("/nonexistent.toml"), "{said}");
    let (status, said) = run(&["dev-customer", "--data", "/nonexistent", "acme", "disable-key"]);
    assert_eq!(status, Some(2), "{said}");
    assert_eq!(run(&["inspect", "/nonexistent"]).0, Some(2));
    assert_eq!(run(&["frobnicate"]).0, Some(2));

    let plain = scratch("inspect").join("plain.txt");
    fs::write(&plain, [b'x'; 1000]).unwrap();
    assert_eq!(
        run(&["inspect", plain.to_str().unwrap()]).0,
        Some(1),
        "something wrong was found"
    );
}

/// A command's exit status, and all that it said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(BINARY).args(arguments).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
    (done.status.code(), said)
}

/// The trail of a run that said no and yes again holds, is a tenant's to take, and shows what is done to it.
fn trail_holds(data: &Path) {
    let trail = data.join("audit");
    let trail_text = trail.to_str().unwrap();
    let (status, said) = run(&["audit", "verify", trail_text]);
    assert_eq!(status, Some(0), "{said}");
    let (status, exported) = run(&["audit", "export", trail_text, "--tenant", "acme"]);
    assert_eq!(status, Some(0), "{exported}");
    for event in [
        "lease_granted",
        "dek_made",
        "key_refused",
        "request_refused",
        "request_id",
    ] {
        assert!(exported.contains(event), "{event} is missing of:\n{exported}");
    }
    assert!(!exported.contains("globex"), "another tenant's line");
    assert_eq!(run(&["audit", "export", trail_text, "--tenant", "nobody"]).0, Some(2));

    let mut files = fs::read_dir(&trail).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.to_str().unwrap().contains("/acme.")).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("key_refused", "key_accepted", 1)).unwrap();
    assert_eq!(run(&["audit", "verify", trail_text]).0, Some(1));
}

/// A running `portcullis dev`, on ports of its own.
struct Dev {
    child: Child,
    data: PathBuf,
    ports: [u16; 4],
}

impl Dev {
    fn start(name: &str) -> Self {
        let _ = fs::remove_dir_all(scratch(name).join("data"));
        // Held together, so that the four differ; another process may still take one before it is used.
        let held = [0; 4].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let ports = held.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(held);
        Self::at(name, ports)
    }

    fn at(name: &str, ports: [u16; 4]) -> Self {
        let data = scratch(name).join("data");
        let flags = ["--s3-port", "--s3-tls-port", "--admin-port", "--vault-port"];
        let mut command = Command::new(BINARY);
        command.arg("dev").arg("--data").arg(&data);
        for (flag, port) in flags.iter().zip(ports) {
            command.arg(flag).arg(port.to_string());
        }
        let log = fs::File::create(scratch(name).join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let ready = said
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("Portcullis is running"));
        let log = || fs::read_to_string(scratch(name).join("log")).unwrap();
        assert!(ready, "dev did not start:\n{}", log());
        Self { child, data, ports }
    }

    fn python(&self, script: &str, arguments: &[&Path]) {
        python(script, arguments, &self.data.parent().unwrap().join("log"));
    }

    /// As Ctrl-C does.
    fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs one of the scripts to its end. What it drives writes its log to `log`.
fn python(script: &str, arguments: &[&Path], log: &Path) {
    let python = std::env::var_os("PORTCULLIS_PYTHON")
        .expect("PORTCULLIS_PYTHON names a Python with the SDKs of tests/conformance/requirements.txt; ./test sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conformance")
        .join(script);
    let done = Command::new(python).arg(&script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    println!("{said}");
    assert!(
        done.status.success() && said.contains("done"),
        "{}; the gate's log: {}",
        script.display(),
        log.display()
    );
}
