//! The book: which faults are due, how often every operation was asked for, and what became of each request.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::StatusCode;
use tokio::sync::watch;

use crate::dev::standin::fault::{Effect, Fault, Operation, Place};

/// Requests kept in the log; older ones are forgotten, the counters are not.
const LOG_LENGTH: usize = 10_000;

/// Faults, counters and log.
pub struct Book {
    pages: Mutex<Pages>,
    /// Ticks at every arrival, for whoever waits for one.
    arrivals: watch::Sender<u64>,
}

#[derive(Default)]
struct Pages {
    faults: Vec<(Place, Fault)>,
    counters: BTreeMap<(Place, Operation), u64>,
    log: VecDeque<Entry>,
}

/// One request, as the stand-in saw it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub place: Place,
    pub operation: Operation,
    /// When the request had arrived in full.
    pub arrived: Instant,
    /// When it was decided; a late answer leaves after that.
    pub decided: Instant,
    pub answer: Answer,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Answered (or held, to be answered late) with this status and, for an error, the service's name of it.
    Status(StatusCode, Option<String>),
    /// The connection was closed instead.
    Dropped,
    /// It was left without an answer.
    Silence,
}

/// How often each operation was asked for, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<(Place, Operation), u64>);

impl Counters {
    /// Requests for an operation.
    pub fn count(&self, place: &Place, operation: Operation) -> u64 {
        self.0.get(&(place.clone(), operation)).copied().unwrap_or(0)
    }

    /// All requests to a service.
    pub fn total(&self, place: &Place) -> u64 {
        self.0
            .iter()
            .filter(|((counted, _), _)| counted == place)
            .map(|(_, count)| count)
            .sum()
    }
}

impl Book {
    pub fn new() -> Self {
        Self {
            pages: Mutex::default(),
            arrivals: watch::Sender::new(0),
        }
    }

    /// Counts a request, and takes the first fault due for it.
    pub fn arrive(&self, place: &Place, operation: Operation) -> Option<Effect> {
        let effect = {
            let mut pages = self.pages();
            let count = pages.counters.entry((place.clone(), operation)).or_insert(0);
            *count = count.saturating_add(1);
            pages.due(place, operation)
        };
        self.arrivals.send_modify(|count| *count = count.wrapping_add(1));
        effect
    }

    /// How new connections to a service are to be refused, if they are.
    pub fn refuses_connections(&self, place: &Place) -> Option<Effect> {
        let refuses =
            |fault: &Fault| matches!(fault.effect, Effect::Unreachable | Effect::TlsFails) && fault.on.is_none();
        let pages = self.pages();
        let mut faults = pages.faults.iter();
        let found = faults.find(|(at, fault)| at == place && refuses(fault));
        found.map(|(_, fault)| fault.effect.clone())
    }

    /// Adds a fault, due after those added before.
    pub fn add(&self, place: Place, fault: Fault) {
        if fault.times != Some(0) {
            self.pages().faults.push((place, fault));
        }
    }

    /// Forgets a service's faults.
    pub fn clear(&self, place: &Place) {
        self.pages().faults.retain(|(at, _)| at != place);
    }

    /// Writes down what became of a request.
    pub fn write(&self, entry: Entry) {
        let mut pages = self.pages();
        if pages.log.len() >= LOG_LENGTH {
            pages.log.pop_front();
        }
        pages.log.push_back(entry);
    }

    /// All requests kept, in the order of their decisions.
    pub fn log(&self) -> Vec<Entry> {
        self.pages().log.iter().cloned().collect()
    }

    pub fn counters(&self) -> Counters {
        Counters(self.pages().counters.clone())
    }

    /// Returns once an operation was asked for `times` times in all.
    pub async fn seen(&self, place: &Place, operation: Operation, times: u64) {
        let mut arrivals = self.arrivals.subscribe();
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = arrivals
            .wait_for(|_| self.counters().count(place, operation) >= times)
            .await;
    }

    /// A thread that panicked here left counters that are still counters.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn due(&mut self, place: &Place, operation: Operation) -> Option<Effect> {
        let matches = |(at, fault): &(Place, Fault)| at == place && fault.on.is_none_or(|on| on == operation);
        let index = self.faults.iter().position(matches)?;
        let (_, fault) = self.faults.get_mut(index)?;
        let effect = fault.effect.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.faults.remove(index);
            }
        }
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_due_in_order_and_as_often_as_asked() {
        let book = Book::new();
        let vault = Place::Vault("v".to_owned());
        book.add(vault.clone(), Fault::busy().on(Operation::UnwrapKey).times(2));
        book.add(vault.clone(), Fault::silent());
        assert!(matches!(book.arrive(&vault, Operation::WrapKey), Some(Effect::Silent)));
        for _ in 0..2 {
            assert!(matches!(
                book.arrive(&vault, Operation::UnwrapKey),
                Some(Effect::Broken(_))
            ));
        }
        assert!(matches!(
            book.arrive(&vault, Operation::UnwrapKey),
            Some(Effect::Silent)
        ));
        assert!(book.arrive(&Place::Identity, Operation::IdentityToken).is_none());
        book.clear(&vault);
        assert!(book.arrive(&vault, Operation::UnwrapKey).is_none());
        assert_eq!(book.counters().count(&vault, Operation::UnwrapKey), 4);
        assert_eq!(book.counters().total(&vault), 5);
    }

    #[tokio::test]
    async fn an_arrival_wakes_who_waits_for_it() {
        let book = Book::new();
        let waiting = book.seen(&Place::Identity, Operation::IdentityToken, 2);
        let arriving = async {
            book.arrive(&Place::Identity, Operation::IdentityToken);
            tokio::task::yield_now().await;
            book.arrive(&Place::Identity, Operation::IdentityToken);
        };
        tokio::join!(waiting, arriving);
    }
}
