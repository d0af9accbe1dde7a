//! Settings that change while the taps run.
use aya::maps::{Array, MapData};
use podtrace_ebpf::config::{Control, VXLAN_PORTS_MAX};

use super::{ProbeError, maps::Controlled};

/// The kernel side's controls.
pub(super) struct Controls {
    map: Array<MapData, Controlled>,
    now: Control,
}

impl Controls {
    /// Nothing runs yet; all packets are captured.
    pub(super) fn new(map: Array<MapData, Controlled>) -> Self {
        let now = Control {
            sample_max: u32::MAX,
            ..Control::default()
        };
        Self { map, now }
    }

    /// Applies a change, if it makes a difference.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Control)) -> Result<(), ProbeError> {
        let mut next = self.now;
        change(&mut next);
        if next != self.now {
            self.map
                .set(0, Controlled(next), 0)
                .map_err(|source| ProbeError::Map {
                    operation: "tell the taps what to do".into(),
                    source,
                })?;
            self.now = next;
        }
        Ok(())
    }
}

/// The ports in the form of the kernel side; ports beyond its room are left out.
pub(super) fn ports(of: &[u16]) -> [u16; VXLAN_PORTS_MAX] {
    let mut ports = [0; VXLAN_PORTS_MAX];
    for (port, of) in ports.iter_mut().zip(of) {
        *port = *of;
    }
    ports
}
