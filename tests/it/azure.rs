//! `portcullis dev --azure-port`, run as a user runs it, and driven by the official Azure SDK before a real Azurite.
//!
//! `PORTCULLIS_AZURITE` names an installed `azurite-blob`; `./test` sets it where npm is there. Without Node.js there is no
//! Azurite, and nothing here can run: that is said, and not failed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

#[test]
fn the_azure_sdk_does_not_notice_the_gate() {
    driven("azure_sdk");
}

#[test]
fn no_spelling_leads_through_the_wall_between_tenants() {
    driven("azure_walls");
}

#[test]
fn tokens_and_identities_reach_as_far_as_they_should() {
    driven("azure_entra");
}

#[test]
fn a_no_ends_what_is_under_way_whoever_stalls() {
    driven("azure_revoked");
}

#[test]
fn the_gate_answers_as_azurite_does_but_for_what_is_published() {
    driven("azure_differential");
}

#[test]
fn a_range_costs_little_more_than_itself() {
    driven("azure_reads");
}

#[test]
fn whoever_writes_meanwhile_does_not_get_into_what_is_read_or_copied() {
    driven("azure_races");
}

/// Runs a script of `tests/conformance` against a `portcullis dev` of its own.
fn driven(script: &str) {
    let Some(azurite) = std::env::var_os("PORTCULLIS_AZURITE") else {
        println!("PORTCULLIS_AZURITE is not set: the Azure side was not tested");
        return;
    };
    let dev = Dev::start(script, Path::new(&azurite));
    let python = std::env::var_os("PORTCULLIS_PYTHON")
        .expect("PORTCULLIS_PYTHON names a Python with the SDKs of tests/conformance/requirements.txt; ./test sets it");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/conformance/{script}.py"));
    let done = Command::new(python)
        .arg(script)
        .arg(BINARY)
        .arg(&dev.data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    println!("{said}");
    assert!(
        done.status.success() && said.contains("done"),
        "the gate's log: {}",
        dev.log.display()
    );
}

/// A running `portcullis dev` with its Azure side; SIGINT ends it, and Azurite with it.
struct Dev {
    child: Child,
    data: PathBuf,
    log: PathBuf,
}

impl Dev {
    fn start(name: &str, azurite: &Path) -> Self {
        for _ in 0..5 {
            match Self::try_start(name, azurite) {
                Ok(dev) => return dev,
                // Another test took a port between its being chosen and its use.
                Err(said) if said.contains("Address already in use") => {}
                Err(said) => panic!("dev did not start:\n{said}"),
            }
        }
        panic!("no port stays free");
    }

    fn try_start(name: &str, azurite: &Path) -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let (data, log) = (folder.join("data"), folder.join("log"));
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(&folder).unwrap();
        // Held together, so that they differ; another process may still take one before it is used.
        let held = [0; 5].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let ports = held.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(held);
        let flags = [
            "--s3-port",
            "--s3-tls-port",
            "--admin-port",
            "--vault-port",
            "--azure-port",
        ];
        let mut command = Command::new(BINARY);
        command
            .arg("dev")
            .arg("--data")
            .arg(&data)
            .arg("--azurite")
            .arg(azurite);
        for (flag, port) in flags.iter().zip(ports) {
            command.arg(flag).arg(port.to_string());
        }
        let said = fs::File::create(&log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(said).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines
            .map_while(Result::ok)
            .any(|line| line.contains("Portcullis is running"));
        if !ready {
            let _ = child.wait();
            return Err(fs::read_to_string(&log).unwrap());
        }
        Ok(Self { child, data, log })
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}
