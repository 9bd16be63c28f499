//! What a process that will hold keys asks of the kernel before it reads the first secret: no core dumps, no other process
//! reading its memory, no memory in swap. Asked for at the start of `serve` and `dev`.

use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// What the kernel granted. Nothing of it keeps the gate from starting: the kernel has the last word, and the log says it.
#[must_use = "what was refused belongs in the log, once there is one"]
pub(super) struct Hardened {
    /// No core dump; `/proc/<pid>/mem`, its environment and ptrace only for `CAP_SYS_PTRACE` (prctl(2), `PR_SET_DUMPABLE`).
    undumpable: Result<(), Errno>,
    /// No core file even where `core_pattern` asks for one that is not piped (core(5)).
    no_core: Result<(), Errno>,
    locked: Result<(), Unlocked>,
}

/// Why memory may be swapped out.
#[derive(Debug, thiserror::Error)]
enum Unlocked {
    /// A limit that the process may outgrow: beyond it a locked process gets no memory at all (mlockall(2), `MCL_FUTURE`), and
    /// a gate that dies under load protects nobody.
    #[error("RLIMIT_MEMLOCK is {0} bytes, not unlimited")]
    Limited(u64),
    #[error("{0}")]
    Refused(#[from] Errno),
}

/// Asks for all of it. Before any thread is started and any secret is read.
pub(super) fn harden() -> Hardened {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Hardened {
        undumpable: set_dumpable_behavior(DumpableBehavior::NotDumpable),
        no_core: setrlimit(Resource::Core, none),
        locked: lock(),
    }
}

fn lock() -> Result<(), Unlocked> {
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    // Permitted where the hard limit is unlimited already, or to CAP_SYS_RESOURCE.
    let _ = setrlimit(Resource::Memlock, unlimited);
    if let Some(limit) = getrlimit(Resource::Memlock).current {
        return Err(Unlocked::Limited(limit));
    }
    // ONFAULT: only what is used, not every thread's whole stack.
    Ok(mlockall(
        MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT,
    )?)
}

impl Hardened {
    /// Says what was achieved, once there is a log.
    pub(super) fn log(&self) {
        match self.undumpable.and(self.no_core) {
            Ok(()) => tracing::debug!("core dumps are off"),
            Err(error) => tracing::warn!(%error, "core dumps could not be turned off"),
        }
        match &self.locked {
            Ok(()) => tracing::debug!("memory is locked"),
            Err(why) => tracing::debug!(%why, "memory is not locked: it may be swapped out"),
        }
    }
}
