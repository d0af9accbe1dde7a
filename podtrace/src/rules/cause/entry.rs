/// Where a wrong neighbour entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The interface asks its link (ARP, ND).
    Asked,
    /// Somebody has made it, as a CNI plugin makes those of VXLAN interfaces.
    Made,
    /// Who has it is unknown: the place is where the frame is refused.
    Elsewhere,
}
