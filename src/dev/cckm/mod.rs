//! A stand-in for Thales CipherTrust Manager with its CCKM, on loopback, for `portcullis dev` and the tests: the REST API's
//! shapes over TLS, and CCKM's actions, each carried out in the stand-in vault as CCKM does in Azure.
//!
//! What it says of a key is a copy, as CCKM's is: what happens in the vault past it shows after [`Managed::synchronize`] only.
//!
//! Not covered: everything that writes over the API (answered with 403: the gate's user may only read), subscriptions, connections,
//! reports. Fields are those of ThalesGroup/terraform-provider-ciphertrust and ThalesGroup/CDSP-Orchestration-Ansible.

mod api;
mod book;
mod console;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::dev::authority::AuthorityError;
use crate::dev::cckm::book::Book;
use crate::dev::cckm::console::Console;
use crate::dev::standin::{ActionError, Customer, Standin};

/// A running stand-in; it stops when dropped.
pub struct Cckm {
    site: Arc<Site>,
    port: u16,
    serving: AbortHandle,
}

/// What is served.
struct Site {
    book: Book,
    console: Option<Console>,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum CckmStandinError {
    /// No port.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// No certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// There is no such customer.
    #[error(transparent)]
    Action(#[from] ActionError),
}

impl Cckm {
    /// Serves on a free port, with a certificate of `standin`'s authority, for one user who may read.
    ///
    /// # Errors
    /// No port, or no certificate.
    pub async fn start(standin: &Standin, username: &str, password: &str) -> Result<Self, CckmStandinError> {
        let site = Site {
            book: Book::new(username, password),
            console: None,
        };
        Self::serve(standin, site).await
    }

    /// The same, with these customers' keys under management, and a console for other processes: `directory` says how to reach it
    /// ([`control::act`](crate::dev::standin::control::act)). What it knows ends with it.
    ///
    /// # Errors
    /// No port, no certificate, a customer that is unknown, or a directory that can't be written.
    pub async fn with_console(
        standin: &Standin,
        (username, password): (&str, &str),
        customers: &[&str],
        directory: &Path,
    ) -> Result<Self, CckmStandinError> {
        let key = |name: &&str| ((*name).to_owned(), standin.customer(name), standin.key_url(name));
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
        let site = Site {
            book: Book::new(username, password),
            console: Some(Console::new(hex::encode(bytes), customers.iter().map(key).collect())),
        };
        let started = Self::serve(standin, site).await?;
        for name in customers {
            started.manage(standin.customer(name), &standin.key_url(name))?;
        }
        std::fs::create_dir_all(directory)?;
        if let Some(console) = &started.site.console {
            console.write_contact(directory, started.port, standin.ca_file())?;
        }
        Ok(started)
    }

    async fn serve(standin: &Standin, site: Site) -> Result<Self, CckmStandinError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let issued = standin.certificate_authority().issue(&["localhost", "127.0.0.1"])?;
        let acceptor = TlsAcceptor::from(Arc::new(issued.server_config()?));
        let site = Arc::new(site);
        let serving = tokio::spawn(serve(listener, acceptor, Arc::clone(&site))).abort_handle();
        Ok(Self { site, port, serving })
    }

    /// `https://127.0.0.1:{port}`.
    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Takes a customer's key under management: `key` is its URL without version. What the vault has is there at once.
    ///
    /// # Errors
    /// There is no such customer.
    pub fn manage(&self, customer: Customer, key: &str) -> Result<Managed<'_>, ActionError> {
        self.site.book.add(key);
        let managed = Managed {
            book: &self.site.book,
            customer,
            key: key.to_owned(),
        };
        managed.synchronize()?;
        Ok(managed)
    }

    /// From now on every request is answered so; `None` ends it.
    pub fn fail(&self, status: Option<StatusCode>) {
        self.site.book.fail(status);
    }

    /// Takes back every token that was given.
    pub fn forget_tokens(&self) {
        self.site.book.forget_tokens();
    }

    /// How often the password was sent.
    pub fn sign_ins(&self) -> u64 {
        self.site.book.sign_ins()
    }

    /// How often something was asked for that writes.
    pub fn writes(&self) -> u64 {
        self.site.book.writes()
    }
}

impl Drop for Cckm {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A key under management: CCKM's actions. Each is in force in the vault when it returns.
pub struct Managed<'a> {
    book: &'a Book,
    customer: Customer,
    key: String,
}

impl Managed<'_> {
    /// `POST keys`: makes the key in the vault.
    ///
    /// # Errors
    /// It is there already.
    pub fn create(&self) -> Result<(), ActionError> {
        self.customer.create_key()?;
        self.synchronize()
    }

    /// `POST upload-key`: a new version whose material was made in CipherTrust Manager.
    ///
    /// # Errors
    /// There is no such key.
    pub fn upload(&self) -> Result<String, ActionError> {
        self.customer.rotate_key()?;
        let version = self.customer.key_version()?;
        self.book.set_origin(&version, "byok");
        self.synchronize()?;
        Ok(version)
    }

    /// `PATCH keys/{id}` with `enabled`: every version.
    ///
    /// # Errors
    /// There is no such key.
    pub fn set_enabled(&self, enabled: bool) -> Result<(), ActionError> {
        match enabled {
            true => self.customer.enable_key()?,
            false => self.customer.disable_key()?,
        };
        self.synchronize()
    }

    /// `POST keys/{id}/enable-rotation-job`: the schedule, as cron has it, and whether new versions are enabled.
    pub fn schedule(&self, run_at: &str, enables: bool) {
        self.book.schedule(&self.key, run_at, enables);
    }

    /// What the schedule does when it is due.
    ///
    /// # Errors
    /// There is no such key.
    pub fn rotate(&self) -> Result<String, ActionError> {
        self.customer.rotate_key()?;
        let version = self.customer.key_version()?;
        if !self.book.enables(&self.key) {
            self.customer.set_version_enabled(&version, false)?;
        }
        self.synchronize()?;
        Ok(version)
    }

    /// `POST keys/{id}/soft-delete`.
    ///
    /// # Errors
    /// There is no such key.
    pub fn soft_delete(&self) -> Result<(), ActionError> {
        self.customer.delete_key()?;
        self.synchronize()
    }

    /// `POST keys/{id}/recover`.
    ///
    /// # Errors
    /// The key is not deleted.
    pub fn recover(&self) -> Result<(), ActionError> {
        self.customer.recover_key()?;
        self.synchronize()
    }

    /// What the schedule `cckm_key_backup` does when it is due.
    ///
    /// # Errors
    /// There is no such key.
    pub fn back_up(&self) -> Result<(), ActionError> {
        let backup = self.customer.back_up()?;
        self.book.keep(&self.key, backup);
        self.synchronize()
    }

    /// `POST keys/{id}/hard-delete`: the backups stay (`retain_key_backups_after_purge`).
    ///
    /// # Errors
    /// The key is not deleted.
    pub fn hard_delete(&self) -> Result<(), ActionError> {
        self.customer.purge_key()?;
        self.synchronize()
    }

    /// `POST keys/{id}/restore`: from the last backup.
    ///
    /// # Errors
    /// There is no backup, or the key is there.
    pub fn restore(&self) -> Result<(), ActionError> {
        let backup = self.book.backup(&self.key);
        let backup = backup.ok_or_else(|| ActionError::KeyMissing(self.key.clone()))?;
        self.customer.restore_key(&backup)?;
        self.synchronize()
    }

    /// `POST keys/{id}/refresh`, or a synchronisation job: what the vault has becomes what CCKM says.
    ///
    /// # Errors
    /// There is no such customer.
    pub fn synchronize(&self) -> Result<(), ActionError> {
        let seen = self.customer.look()?;
        self.book.synchronize(&self.key, seen.as_ref());
        Ok(())
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, site: Arc<Site>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of file descriptors, most likely: the next accept may do better.
                let Ok((stream, _)) = accepted else { tokio::task::yield_now().await; continue };
                let (acceptor, site) = (acceptor.clone(), Arc::clone(&site));
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer = service_fn(move |request| api::answer(Arc::clone(&site), request));
                    // Errors of a connection are the client's to notice.
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
