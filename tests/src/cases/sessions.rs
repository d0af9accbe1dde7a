//! Recorded sessions: recorded by real taps, and read by podtrace and by other tools.

mod blocks;
mod damage;
mod disk;
mod export;
mod follow;
mod hangup;
mod kill;
mod live;
mod merge;
mod overload;
mod peers;
mod planted;
mod pods;
mod progress;
pub(super) mod record;
mod replay;
mod restraint;
mod rotation;
mod sampling;
mod stall;
mod stats;
mod tools;
mod wrong_use;
