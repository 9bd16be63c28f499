//! A gate that is a process, `portcullis serve` with a configuration of the test's.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

/// A running gate. It is killed when dropped.
pub struct Served {
    child: Child,
    pub address: SocketAddr,
}

impl Served {
    /// Starts one; `configuration` is told where it is to listen.
    pub async fn start(directory: &Path, configuration: impl Fn(SocketAddr) -> String) -> Self {
        for _ in 0..5 {
            let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let file = directory.join(format!("serve-{}.toml", address.port()));
            // Metrics wherever there is room: several gates run on this machine.
            let admin = "\n[admin]\naddress = \"127.0.0.1:0\"\n";
            fs::write(&file, configuration(address) + admin).unwrap();
            let log = directory.join(format!("serve-{}.log", address.port()));
            let child = Command::new(BINARY)
                .args(["serve", "--config"])
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(fs::File::create(&log).unwrap())
                .spawn()
                .unwrap();
            let mut served = Self { child, address };
            if served.is_up().await {
                return served;
            }
            let said = fs::read_to_string(&log).unwrap();
            // Another took the port between its being chosen and its use.
            assert!(said.contains("in use"), "the gate did not start: {said}");
        }
        panic!("no port stays free");
    }

    /// Until it takes connections; false if it ended.
    async fn is_up(&mut self) -> bool {
        for _ in 0..1500 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the gate does not listen");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command run to its end: its status, and all that it said.
pub async fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || Command::new(BINARY).args(arguments).output().unwrap());
    let Output { status, stdout, stderr } = ran.await.unwrap();
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code(), said)
}
