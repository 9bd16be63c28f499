//! What the gate tells the people who run it, and the one clock by which it decides.

pub mod audit;
pub mod clock;
pub mod logs;
pub mod metrics;
pub mod trail;
