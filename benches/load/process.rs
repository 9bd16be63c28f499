//! A process under measurement: started, watched through /proc, ended by its own id.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Problem;

/// A child that ends with its handle.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, its errors going to `log`, and waits for the first line that it says, which is returned.
    pub(crate) fn saying(name: &str, command: &mut Command, log: &Path) -> Result<(Self, String), Problem> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(log)?)
            .spawn();
        let mut process = Self {
            child: child.map_err(|error| Problem::new(format!("{name}: {error}")))?,
        };
        let mut line = String::new();
        if let Some(said) = process.child.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        match line.trim() {
            "" => Err(Problem::new(format!("{name} did not start: see {}", log.display()))),
            line => Ok((process, line.to_owned())),
        }
    }

    /// Starts `command`, which says nothing.
    pub(crate) fn quiet(name: &str, command: &mut Command, log: &Path) -> Result<Self, Problem> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(log)?)
            .spawn();
        Ok(Self {
            child: child.map_err(|error| Problem::new(format!("{name}: {error}")))?,
        })
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its time on a CPU so far, all threads together.
    pub(crate) fn cpu(&self) -> Duration {
        self.processes().map(cpu).sum()
    }

    /// Resident memory now and at its highest so far, in bytes.
    pub(crate) fn memory(&self) -> (u64, u64) {
        self.processes().map(memory).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }

    /// The process and its children: nginx works in those.
    fn processes(&self) -> impl Iterator<Item = u32> + use<> {
        let pid = self.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        std::iter::once(pid).chain(children)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(&mut self) {
        if self.is_gone() {
            return;
        }
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        for _ in 0..100 {
            if self.is_gone() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// To the nanosecond, from the scheduler's accounts of each thread; where the kernel keeps none, to the clock tick.
fn cpu(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let nanos: u64 = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    if nanos > 0 {
        return Duration::from_nanos(nanos);
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name may hold anything; the fields begin behind its last parenthesis. 100 ticks a second everywhere.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}
