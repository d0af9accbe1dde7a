//! What routers tell senders of the path MTU.
use std::sync::Arc;

use super::{
    lost::Lost,
    side::{Fate, Of},
};
use crate::{path::Path, world::World};

/// What routers say about packets that are too big.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// How many of their messages reached the sender, or may have.
    pub(super) reached: u64,
    /// How many were lost, and one of them.
    pub(super) lost: u64,
    pub(super) one: Option<Arc<Lost>>,
    /// The MTU that they tell.
    pub(super) mtu: Option<u32>,
}

impl Told {
    /// Adds the path of a message that a packet is too big.
    pub(super) fn add(&mut self, path: &Path, mtu: u32, world: &World) {
        self.mtu = Some(mtu);
        if let Some(before) = path.late_of {
            if self.one.take_if(|one| one.path == before.id).is_some() {
                self.lost = self.lost.saturating_sub(1);
            } else {
                self.reached = self.reached.saturating_sub(1);
            }
        }
        match Fate::of(path, Of::Server) {
            Fate::Lost => {
                self.lost += 1;
                self.one = self.one.take().or_else(|| Lost::of(path, world));
            }
            _ => self.reached += 1,
        }
    }
}
