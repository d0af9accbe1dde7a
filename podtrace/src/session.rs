//! Recorded sessions: standard pcapng that also replays in full.
//!
//! # Format
//!
//! A file is one or more pcapng sections (draft-ietf-opsawg-pcapng), each complete in
//! itself: a section repeats interfaces, names and the state of the network, so each file
//! of a chain, and everything behind damage, can be read alone. All numbers are
//! little-endian, times are nanoseconds.
//!
//! | block | holds |
//! |---|---|
//! | section header | podtrace's version, kernel, command line; [`format::SectionInfo`] |
//! | interface description | one for each tap place, `pod.namespace/eth0` or `node/veth1`, and one more for its sockets, whose packets start with the IP header; [`format::InterfaceInfo`] |
//! | enhanced packet | one hop: time, direction flags, the number of the packet as `epb_packetid`, pod and container as comment, how many events were lost before it |
//! | name resolution | addresses of pods and nodes |
//! | interface statistics | what was counted since the section began; [`format::InterfaceCounts`] |
//! | [`format::ENTRY_BLOCK`] | everything else, as JSON: [`format::Entry`] |
//!
//! Data without a standard option is in a custom option under the enterprise number
//! [`format::ENTERPRISE`], the last of each block. It begins with `pdt` and a letter (`J`:
//! JSON follows, `P`: [`format::PacketInfo`]) and ends with a CRC-32 of the block up to
//! there, which reveals damage. Other entries are in blocks of a type for local use,
//! because readers such as tshark show pcapng's custom blocks among the packets.
//!
//! Times in JSON are those of the node's CLOCK_MONOTONIC; `epoch_ns` of the
//! section header makes them UTC, as it did for the packets.
pub mod block;
pub mod chain;
pub mod files;
pub mod format;
pub mod input;
pub mod progress;
pub mod reader;
pub mod recorder;
