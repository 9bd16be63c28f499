//! One line on the terminal that says how far a run is, and what it does.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// The line. Nothing is written where nobody looks on.
pub(crate) struct Progress {
    begun: Instant,
    steps: usize,
    taken: usize,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        Self {
            begun: Instant::now(),
            steps,
            taken: 0,
            shown: std::io::stderr().is_terminal(),
        }
    }

    /// The next step begins.
    pub(crate) fn step(&mut self, what: &str) {
        if self.shown {
            let filled = 30 * self.taken / self.steps.max(1);
            let left = match self.taken {
                0 => String::new(),
                taken => {
                    let each = self.begun.elapsed().as_secs_f64() / taken as f64;
                    format!("{:.0} s left", each * (self.steps - taken.min(self.steps)) as f64)
                }
            };
            let bar = format!("{}{}", "#".repeat(filled), ".".repeat(30 - filled.min(30)));
            eprint!("\r\x1b[K[{bar}] {}/{}  {left}  {what}", self.taken, self.steps);
            let _ = std::io::stderr().flush();
        }
        self.taken += 1;
    }

    /// Wipes the line.
    pub(crate) fn done(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
