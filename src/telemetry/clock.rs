//! Time. Everything that decides by time asks one [`Clock`], which tests can move.
//!
//! Two readings are taken together. Boot time counts while the machine sleeps (`CLOCK_BOOTTIME`, clock_gettime(2)) but not
//! while a hypervisor holds the guest still; wall time counts then, but jumps when somebody sets it. What must not be
//! late ends by whichever of the two comes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A reading of both clocks at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since boot, sleep included.
    pub boot: Duration,
    /// Since the Unix epoch.
    pub wall: Duration,
}

impl Moment {
    /// The moment `by` later on both clocks.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self {
            boot: self.boot.saturating_add(by),
            wall: self.wall.saturating_add(by),
        }
    }

    /// The earlier of two moments, clock by clock.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        Self {
            boot: self.boot.min(other.boot),
            wall: self.wall.min(other.wall),
        }
    }

    /// Whether this moment has been reached at `now`: on either clock.
    pub fn reached(self, now: Self) -> bool {
        now.boot >= self.boot || now.wall >= self.wall
    }

    /// How long until this moment is reached, on whichever clock comes first.
    pub fn left(self, now: Self) -> Duration {
        self.boot
            .saturating_sub(now.boot)
            .min(self.wall.saturating_sub(now.wall))
    }

    /// How long ago `then` was, by boot time.
    pub fn since(self, then: Self) -> Duration {
        self.boot.saturating_sub(then.boot)
    }

    /// By how much the wall clock was set, forwards or backwards, since `then`.
    pub fn wall_jump(self, then: Self) -> Duration {
        // Sums, because the difference of two wall readings may be negative.
        self.wall
            .saturating_add(then.boot)
            .abs_diff(then.wall.saturating_add(self.boot))
    }

    /// The wall clock's reading as the standard library's type.
    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + self.wall
    }
}

/// Where the time comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Virtual(Arc<Skew>),
}

impl Clock {
    /// The machine's own clocks.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that follows the runtime's (which tests pause and move: `tokio::time::advance`) and can be skewed.
    pub fn virtual_time(seed: u64) -> (Self, Arc<Skew>) {
        let skew = Arc::new(Skew {
            start: tokio::time::Instant::now(),
            boot: AtomicI64::new(0),
            wall: AtomicI64::new(0),
            chances: AtomicU64::new(seed),
        });
        (Self(Source::Virtual(Arc::clone(&skew))), skew)
    }

    /// Both clocks, now.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::System => Moment {
                boot: boot_time(),
                wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO),
            },
            Source::Virtual(skew) => skew.now(),
        }
    }

    /// A number in 0..1, to spread out what replicas would otherwise do at the same moment. Follows from the seed in virtual
    /// time; never used for anything secret.
    pub fn chance(&self) -> f64 {
        let bits = match &self.0 {
            Source::System => std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8),
            // Weyl sequence through a hasher with fixed keys: the same numbers in every run.
            Source::Virtual(skew) => {
                let step = skew.chances.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
                std::hash::BuildHasher::hash_one(
                    &std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default(),
                    step,
                )
            }
        };
        f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    /// Sleeps for `span` of the runtime's time. A machine that sleeps stretches it: callers that must not be late sleep in
    /// short slices and look at [`Clock::now`] after each.
    pub async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

fn boot_time() -> Duration {
    let reading = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(reading.tv_nsec).unwrap_or(0))
}

/// How far a virtual clock's two readings stand off the runtime's time.
#[derive(Debug)]
pub struct Skew {
    start: tokio::time::Instant,
    boot: AtomicI64,
    wall: AtomicI64,
    chances: AtomicU64,
}

impl Skew {
    /// Virtual time starts here on the wall: 2026-01-01 00:00 UTC.
    const WALL_START: Duration = Duration::from_secs(1_767_225_600);

    /// Somebody sets the wall clock: `millis` forwards, or backwards if negative.
    pub fn set_wall(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }

    /// The machine sleeps: both clocks go on, no timer fires.
    pub fn suspend(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        self.boot.fetch_add(millis, Ordering::SeqCst);
        self.wall.fetch_add(millis, Ordering::SeqCst);
    }

    fn now(&self) -> Moment {
        let elapsed = self.start.elapsed();
        let shifted = |base: Duration, by: &AtomicI64| {
            let by = by.load(Ordering::SeqCst);
            let span = Duration::from_millis(by.unsigned_abs());
            if by < 0 {
                base.saturating_sub(span)
            } else {
                base.saturating_add(span)
            }
        };
        Moment {
            boot: shifted(elapsed + Duration::from_secs(1000), &self.boot),
            wall: shifted(elapsed + Self::WALL_START, &self.wall),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_reached_on_whichever_clock_comes_first() {
        let (clock, skew) = Clock::virtual_time(1);
        let end = clock.now().after(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!end.reached(clock.now()));
        skew.set_wall(20_000);
        assert!(end.reached(clock.now()), "wall clock past the end");
        skew.set_wall(-3_600_000);
        assert!(!end.reached(clock.now()));
        skew.suspend(Duration::from_secs(20));
        assert!(
            end.reached(clock.now()),
            "boot time past the end although the wall was set back"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_jump_is_seen_in_both_directions() {
        let (clock, skew) = Clock::virtual_time(1);
        let then = clock.now();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(clock.now().wall_jump(then) < Duration::from_millis(2));
        skew.set_wall(-1500);
        assert_eq!(clock.now().wall_jump(then).as_millis(), 1500);
        skew.set_wall(-3_600_000);
        assert_eq!(
            clock.now().wall_jump(then).as_millis(),
            3_601_500,
            "further back than the time between the looks"
        );
    }

    #[test]
    fn the_system_clock_runs() {
        let clock = Clock::system();
        let first = clock.now();
        assert!(first.boot > Duration::ZERO && first.wall > Duration::from_secs(1_700_000_000));
        assert!(clock.now().boot >= first.boot);
    }
}
