//! The clients: they seal small objects, open them again, and read streams chunk by chunk, some slowly, all the time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::{Instant, sleep};

use crate::keys::simulation::judge::Trouble;
use crate::keys::simulation::vault::{Truth, wrapped};
use crate::keys::simulation::{Dice, Gate, World};
use crate::keys::{Lease, OpenError, Refusal, UseError};
use crate::seal::{ChunkIndex, CmkRef, Dek, Domain, Envelope, Header, Place, PlainLen, WrapAlgorithm};

/// How many objects a tenant keeps.
const OBJECTS: usize = 12;

/// What a tenant has stored: sealed by any gate, opened by any.
type Objects = Arc<Mutex<VecDeque<(Header, BytesMut)>>>;

struct Client {
    world: Arc<World>,
    gate: Arc<Gate>,
    truth: Arc<Truth>,
    objects: Objects,
    dice: Dice,
}

/// How many reads of objects under ever new DEKs the first tenant of a crowd has running at each gate.
const SCANS: u64 = 30;

/// Two clients of every tenant at every gate: one that makes requests, one that reads streams.
pub fn start(world: &Arc<World>) {
    for truth in &world.tenants {
        let objects = Objects::default();
        for gate in &world.gates {
            let client = |kind: u64| Client {
                world: Arc::clone(world),
                gate: Arc::clone(gate),
                truth: Arc::clone(truth),
                objects: Arc::clone(&objects),
                dice: Dice::new(
                    world.seed,
                    1000 + kind * 100 + gate.number as u64 * 10 + truth.number as u64,
                ),
            };
            tokio::spawn(client(0).request());
            tokio::spawn(client(1).stream());
            if world.crowd && truth.number == 0 {
                (0..SCANS).for_each(|scan| _ = tokio::spawn(client(10 + scan).scan()));
            }
        }
    }
}

impl Client {
    async fn request(mut self) {
        let busy = *self
            .dice
            .one_of(&[60, 500, 500, 500, 1000, 1000, 1000, 2000, 2000, 2000]);
        loop {
            let pause = self.dice.between(Duration::from_millis(1), Duration::from_millis(busy));
            sleep(pause).await;
            match self.dice.below(4) {
                0 | 1 => self.put().await,
                2 => self.get().await,
                _ => self.list().await,
            }
            // Now and then nobody wants anything for long enough that leases lapse.
            if self.dice.below(60) == 0 {
                sleep(self.world.bounds.revocation * 3).await;
            }
        }
    }

    async fn put(&mut self) {
        let (life, keys) = self.gate.running();
        let began = Instant::now();
        match keys.to_write(&self.truth.name).await {
            Ok(lease) => {
                if !self.world.ring.shelf().holds(lease.named()) {
                    self.world
                        .judge
                        .fail(format!("{life:?}: a DEK was used before it was recorded"));
                }
                let version = lease.version();
                let place = Place {
                    domain: Domain::S3,
                    container: "simulated",
                    name: "object",
                };
                let Ok((header, mut sealer)) = lease.seal_whole(&place, PlainLen(5)) else {
                    return;
                };
                let Ok(sealer) = sealer.get() else { return };
                let mut sealed = BytesMut::new();
                sealer.seal_next(b"bytes", &mut sealed).unwrap();
                self.world.judge.chunk(life, self.truth.number, version);
                let mut objects = self.objects.lock().unwrap();
                objects.push_back((header, sealed));
                if objects.len() > OBJECTS {
                    objects.pop_front();
                }
            }
            Err(refusal) => self.refused(life, began, refusal.why, None, "write"),
        }
    }

    /// An operation that needs no DEK of its own.
    async fn list(&mut self) {
        let (life, keys) = self.gate.running();
        let began = Instant::now();
        if let Err(refusal) = keys.to_operate(&self.truth.name).await {
            self.refused(life, began, refusal.why, None, "list");
        }
    }

    async fn get(&mut self) {
        if let Some((life, lease, header, sealed)) = self.open().await {
            let version = lease.version();
            let Ok(mut opener) = lease.open_segment(header.core()) else {
                return;
            };
            let Ok(opener) = opener.get() else { return };
            let mut plain = BytesMut::new();
            opener.open(ChunkIndex(0), &sealed, &mut plain).unwrap();
            assert_eq!(&plain[..], b"bytes");
            self.world.judge.chunk(life, self.truth.number, version);
        }
    }

    async fn stream(mut self) {
        loop {
            sleep(self.dice.between(Duration::from_millis(1), Duration::from_secs(2))).await;
            let Some((life, lease, header, sealed)) = self.open().await else {
                continue;
            };
            let version = lease.version();
            let over = lease.over();
            let mut opener = match lease.open_segment(header.core()) {
                Ok(opener) => opener,
                Err(UseError::Ended(_)) => continue,
                Err(wrong) => panic!("{wrong}"),
            };
            let slow = *self.dice.one_of(&[200, 1000, 3000, 20_000]);
            let mut looked = Instant::now();
            for _ in 0..self.dice.below(80) {
                let stall = self.dice.between(Duration::ZERO, Duration::from_millis(slow));
                // A client that does not read is cut all the same.
                tokio::select! {
                    biased;
                    () = over.cancelled() => {}
                    () = sleep(stall) => {}
                }
                match opener.get() {
                    Ok(opener) => {
                        if over.is_cancelled() {
                            self.world.judge.fail(format!("{life:?}: what was cut was resumed"));
                        }
                        let mut plain = BytesMut::new();
                        opener.open(ChunkIndex(0), &sealed, &mut plain).unwrap();
                        self.world.judge.chunk(life, self.truth.number, version);
                        looked = Instant::now();
                    }
                    Err(refusal) => {
                        self.refused(life, looked, refusal.why, Some(version), "stream");
                        break;
                    }
                }
                if self.gate.running().0 != life {
                    break;
                }
            }
        }
    }

    /// Reads objects that other gates sealed long ago, each under a DEK of its own.
    async fn scan(mut self) {
        loop {
            sleep(self.dice.between(Duration::from_millis(1), Duration::from_millis(200))).await;
            let mut bytes = [0; 32];
            bytes.fill_with(|| self.dice.next().to_le_bytes()[7]);
            let dek = Dek::from_bytes(&bytes).unwrap().id();
            let version = self.dice.one_of(&self.truth.state().versions).0;
            let envelope = Envelope::new(
                WrapAlgorithm::RsaOaep256,
                CmkRef::of(&self.truth.name),
                version,
                &wrapped(version, &bytes),
                &self.truth.name,
                dek,
                &self.world.origin,
            );
            let (_, keys) = self.gate.running();
            match keys.to_open(&self.truth.name, dek, &envelope.unwrap()).await {
                // Held for a while, so that all its versions want renewals.
                Ok(lease) => {
                    let span = self.dice.between(Duration::ZERO, self.world.bounds.revocation * 3);
                    tokio::select! {
                        () = lease.over().cancelled_owned() => {}
                        () = sleep(span) => {}
                    }
                }
                Err(OpenError::Refused(_)) => {}
                Err(OpenError::NotOurs(what)) => {
                    self.world.judge.fail(format!("an honest envelope is not ours: {what}"));
                }
            }
        }
    }

    async fn open(&mut self) -> Option<(crate::keys::simulation::Life, Lease, Header, BytesMut)> {
        let (header, sealed) = {
            let objects = self.objects.lock().unwrap();
            let index = usize::try_from(self.dice.below(objects.len() as u64)).unwrap();
            objects.get(index)?.clone()
        };
        let (life, keys) = self.gate.running();
        let began = Instant::now();
        let dek = header.core().dek_id();
        match keys.to_open(&self.truth.name, dek, header.envelope()).await {
            Ok(lease) => Some((life, lease, header, sealed)),
            Err(OpenError::Refused(refusal)) => {
                let version = header.envelope().version();
                self.refused(life, began, refusal.why, Some(version), "read");
                None
            }
            Err(OpenError::NotOurs(what)) => {
                self.world
                    .judge
                    .fail(format!("{life:?}: an honest object is not ours: {what}"));
                None
            }
        }
    }

    fn refused(
        &self,
        life: crate::keys::simulation::Life,
        since: Instant,
        refusal: Refusal,
        version: Option<crate::seal::KeyVersion>,
        what: &str,
    ) {
        let tenant = self.truth.number;
        let second = match version {
            Some(version) => [Trouble::Version(tenant, version); 2],
            None => [Trouble::Writers(tenant), Trouble::Keyring],
        };
        let troubles = [Trouble::Tenant(tenant), second[0], second[1]];
        self.world.judge.refused(life, &troubles, since, refusal, what);
    }
}
