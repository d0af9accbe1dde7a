//! Packets that are in memory as a whole, outside of the kernel.
use super::{Copied, Frame, InspectOptions, Inspection, VIEW_LEN, inspect};
use crate::parse;

/// A frame in memory. `is_vxlan` recognises ports of VXLAN.
#[derive(Clone, Copy, Debug)]
pub struct InMemory<'a, P> {
    /// The whole frame.
    pub bytes: &'a [u8],
    /// Whether a UDP port carries VXLAN.
    pub is_vxlan: P,
}

impl Copied {
    /// The first bytes of a packet.
    #[must_use]
    pub fn of(packet: &[u8]) -> Self {
        let mut bytes = [0; VIEW_LEN];
        let len = packet.len().min(VIEW_LEN);
        bytes[..len].copy_from_slice(&packet[..len]);
        let (words, _) = bytes.as_chunks();
        Self(core::array::from_fn(|at| u64::from_ne_bytes(words[at])))
    }
}

impl<P: Fn(u16) -> bool> Frame for InMemory<'_, P> {
    fn link(&self, at: u32) -> Option<(u16, u32)> {
        let layer = parse::link(self.bytes, at as usize).ok()?;
        Some((layer.ethertype, layer.next as u32))
    }

    fn inspect(&self, at: u32, ethertype: u16, opens: bool) -> Inspection {
        let options = InspectOptions {
            ethertype,
            opens,
            is_vxlan: &self.is_vxlan,
        };
        let rest = self.bytes.get(at as usize..).unwrap_or_default();
        inspect(&Copied::of(rest), &options)
    }
}
