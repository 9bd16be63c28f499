//! The gate in this process, as `portcullis serve` runs it; all else in another, `portcullis dev`: store, vault, Entra. So what
//! this process holds of keys, the gate holds. Between gate and store stands a tap that notes what is said.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::client::Client;
use crate::log;
use crate::masked::{Masked, forget};
use crate::mirror::{Mirror, Tokens};
use crate::needle::Needles;
use crate::planted::{self, Planted};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");

pub struct World {
    dev: Child,
    pub data: PathBuf,
    pub gate: SocketAddr,
    admin: SocketAddr,
    /// Where Azure clients connect.
    pub azure: SocketAddr,
    pub store: SocketAddr,
    /// What the gate said to its store.
    said: Arc<Mutex<Masked>>,
    /// CipherTrust Manager and storage account.
    pub mirror: Mirror,
    /// What was put into the configuration besides what `dev` has there.
    pub planted: Planted,
}

impl World {
    /// Starts both. The gate here finds no DEK that it did not make: the customers have just rotated their keys.
    pub fn start() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let data = folder.join("data");
        // Held together, so that they differ; another process may still take one before it is used.
        let held = [0; 8].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        let [s3, s3_tls, admin, vault, own_s3, own_tls, own_admin, own_azure] =
            held.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(held);
        let mut dev = Command::new(BINARY);
        dev.arg("dev").arg("--data").arg(&data);
        for (flag, port) in [
            ("--s3-port", s3),
            ("--s3-tls-port", s3_tls),
            ("--admin-port", admin),
            ("--vault-port", vault),
        ] {
            dev.arg(flag).arg(port.to_string());
        }
        log::keep(&folder.join("log-under-test"));
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut dev = dev.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let said = BufReader::new(dev.stdout.take().unwrap());
        let running = said
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("is running"));
        assert!(running, "{}", fs::read_to_string(folder.join("log")).unwrap());

        let mut configuration = fs::read_to_string(data.join("portcullis.toml")).unwrap();
        for (theirs, ours) in [(s3, own_s3), (s3_tls, own_tls), (admin, own_admin)] {
            let address = |port| format!("address = \"127.0.0.1:{port}\"");
            configuration = configuration.replace(&address(theirs), &address(ours));
        }
        let (_, rest) = configuration.split_once("endpoint = \"http://").unwrap();
        let store: SocketAddr = rest.split_once('"').unwrap().0.parse().unwrap();
        let (tap, said) = tap(store);
        configuration = configuration.replace(&store.to_string(), &tap.to_string());
        let planted = Planted::new();
        let mirror = Mirror::start(Tokens {
            jwt: planted.get("jwt").to_owned(),
            refresh: planted.get("refresh").to_owned(),
        });
        planted.write(&data.join("secrets"));
        configuration = planted::configuration(&configuration, own_azure, mirror.address);
        let file = data.join("under-test.toml");
        fs::write(&file, configuration).unwrap();

        let world = Self {
            dev,
            data,
            gate: ([127, 0, 0, 1], own_s3).into(),
            admin: ([127, 0, 0, 1], own_admin).into(),
            azure: ([127, 0, 0, 1], own_azure).into(),
            store,
            said,
            mirror,
            planted,
        };
        world.customer("acme", "rotate-key");
        world.customer("globex", "rotate-key");
        // Ends with the process.
        thread::spawn(move || portcullis::commands::serve(&file));
        world
    }

    /// What a customer does, done when this returns.
    pub fn customer(&self, tenant: &str, action: &str) {
        let mut command = Command::new(BINARY);
        command.arg("dev-customer").arg("--data").arg(&self.data);
        let done = command.args([tenant, action]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A client with the credential of a tenant.
    pub fn client(&self, tenant: &str, access_key: &str) -> Client {
        Client::new(self.gate, access_key, &self.secret(tenant))
    }

    /// A secret of the configuration, by the name of its file.
    pub fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.data.join("secrets").join(name)).unwrap()
    }

    /// The file in which the store keeps an object.
    pub fn stored(&self, bucket: &str, name: &str) -> PathBuf {
        self.data.join("store/objects").join(bucket).join(name)
    }

    pub fn metrics(&self) -> Vec<u8> {
        ask(self.admin, "GET /metrics", "")
    }

    /// What the admin listener says to a wish for a proof by whoever shows this token.
    pub fn recheck(&self, token: &str) -> Vec<u8> {
        let header = format!("authorization: Bearer {token}\r\n");
        ask(self.admin, "POST /recheck?tenant=acme", &header)
    }

    /// The audit's trail, all files of it.
    pub fn trail(&self) -> Vec<u8> {
        let directory = fs::read_dir(self.data.join("audit-under-test")).unwrap();
        let files = directory.map(|entry| fs::read(entry.unwrap().path()).unwrap());
        files.collect::<Vec<_>>().concat()
    }

    /// A token of the managed identity, as the gate is given them.
    pub fn token(&self) -> String {
        let configuration = fs::read_to_string(self.data.join("portcullis.toml")).unwrap();
        let value = |key: &str| {
            let (_, rest) = configuration.split_once(&format!("\n{key} = \"")).unwrap();
            rest.split_once('"').unwrap().0.to_owned()
        };
        let endpoint = value("imds_endpoint").replace("http://", "").parse().unwrap();
        let target = format!(
            "GET /metadata/identity/oauth2/token?api-version=2019-08-01&resource=https://vault.azure.net&client_id={}",
            value("managed_identity")
        );
        let answer = ask(endpoint, &target, "metadata: true\r\n");
        let answer = String::from_utf8(answer).unwrap();
        let (_, rest) = answer.split_once("\"access_token\":\"").expect(&answer);
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Adds every DEK there is and every key derived for a stored object, without learning them.
    pub fn plant(&self, needles: &mut Needles) {
        let python = std::env::var_os("PORTCULLIS_PYTHON").expect(
            "PORTCULLIS_PYTHON names a Python with the packages of tests/conformance/requirements.txt; ./test sets it",
        );
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/planted.py");
        let mut command = Command::new(python);
        command.arg(script).arg(&self.data).arg(hex::encode(needles.mask()));
        let told = command.output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        for line in String::from_utf8(told.stdout).unwrap().lines() {
            let (name, masked) = line.split_once(' ').unwrap();
            needles.add_masked(name, hex::decode(masked).unwrap());
        }
    }

    /// Every signature that the gate showed to its store.
    pub fn signatures(&self) -> Vec<Masked> {
        self.said.lock().unwrap().after(b"Signature=", 64)
    }

    /// Store, vault and Entra go away. Returns what they had logged.
    pub fn stop(&mut self) -> Vec<u8> {
        self.dev.kill().unwrap();
        self.dev.wait().unwrap();
        fs::read(self.data.parent().unwrap().join("log")).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.dev.kill();
        let _ = self.dev.wait();
    }
}

fn ask(from: SocketAddr, line: &str, header: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(from).unwrap();
    let request = format!("{line} HTTP/1.1\r\nhost: {from}\r\n{header}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Passes connections on, and keeps what the clients say.
fn tap(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Masked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let said = Arc::new(Mutex::new(Masked::default()));
    let noted = Arc::clone(&said);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(to) else { continue };
            let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let noted = Arc::clone(&noted);
            thread::spawn(move || pass(client, server, |bytes| noted.lock().unwrap().add(bytes)));
            thread::spawn(move || pass(back_from, back_to, |_| ()));
        }
    });
    (address, said)
}

fn pass(mut from: TcpStream, mut to: TcpStream, note: impl Fn(&[u8])) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read) = from.read(&mut bytes) {
        note(&bytes[..read]);
        let passed = to.write_all(&bytes[..read]);
        forget(&mut bytes[..read]);
        if read == 0 || passed.is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
