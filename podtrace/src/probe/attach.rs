//! Attaching the programs to interfaces, and detaching them.
use std::{borrow::Cow, collections::BTreeMap, io};

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use nix::net::if_::if_indextoname;
use podtrace_ebpf::config;

use super::{Probe, ProbeError, load::refused};
use crate::node::netns::NetNs;

/// What is attached, apart from the rest of the probe: the kernel takes some
/// 10 ms for each program at each interface, and another 10 ms to detach it.
/// Dropping it detaches everything.
pub struct Hooks {
    ingress: SchedClassifier,
    egress: SchedClassifier,
    /// By number of the interface.
    links: BTreeMap<u32, Vec<SchedClassifierLink>>,
}

impl Hooks {
    /// The loaded programs, attached to nothing yet.
    ///
    /// # Errors
    /// When the kernel does not hand out the programs once more.
    pub fn new(probe: &mut Probe) -> Result<Self, ProbeError> {
        Ok(Self {
            ingress: classifier(probe, config::PROGRAM_INGRESS)?,
            egress: classifier(probe, config::PROGRAM_EGRESS)?,
            links: BTreeMap::new(),
        })
    }

    /// Attaches both programs, first in the chain, to interface number
    /// `interface`, which has been registered.
    ///
    /// `name` is for errors: an interface may be renamed at any time, and its
    /// index stays.
    ///
    /// # Errors
    /// When the interface is gone or the kernel refuses; then neither program
    /// is attached.
    pub fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<(), ProbeError> {
        let attached = netns.run(|| self.attach_here(ifindex))?;
        let links = attached
            .map_err(|source| refused(format!("attach to {name} in {}", netns.name), source))?;
        self.links.insert(interface, links);
        Ok(())
    }

    /// Attaches both programs to an interface of the calling thread's namespace.
    fn attach_here(&mut self, ifindex: u32) -> Result<Vec<SchedClassifierLink>, ProgramError> {
        let name = if_indextoname(ifindex).map_err(io::Error::from)?;
        let name = name
            .into_string()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // One after the other: a new pod's first packet goes out.
        let programs = [
            (&mut self.egress, TcAttachType::Egress),
            (&mut self.ingress, TcAttachType::Ingress),
        ];
        let links = programs.into_iter().map(|(program, direction)| {
            let order = TcAttachOptions::TcxOrder(LinkOrder::first());
            let link = program.attach_with_options(&name, direction, order)?;
            program.take_link(link)
        });
        links.collect()
    }

    /// Detaches both programs from an interface.
    pub fn detach(&mut self, interface: u32) {
        self.links.remove(&interface);
    }

    /// The interfaces that are attached to, by number.
    pub fn interfaces(&self) -> impl Iterator<Item = u32> {
        self.links.keys().copied()
    }
}

/// A loaded program once more.
fn classifier(probe: &mut Probe, name: &'static str) -> Result<SchedClassifier, ProbeError> {
    let program: &mut SchedClassifier = probe.program(name)?;
    program
        .info()
        .and_then(|info| SchedClassifier::from_program_info(info, Cow::Borrowed(name)))
        .map_err(|source| refused(format!("open program {name}"), source))
}
