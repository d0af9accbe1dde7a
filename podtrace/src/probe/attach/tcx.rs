//! Attaching by TCX links.
use std::collections::BTreeMap;

use aya::programs::{
    LinkOrder, ProgramError, SchedClassifier, TcAttachType,
    tc::{SchedClassifierLink, TcAttachOptions},
};
use podtrace_ebpf::config;

use super::{Attach, classifier, interface_name, operation};
use crate::{
    netns::NetNs,
    probe::{Probe, ProbeError, error::refused},
};

/// The taps, and their links.
pub(super) struct Tcx {
    ingress: SchedClassifier,
    egress: SchedClassifier,
    /// By number of the interface.
    attached: BTreeMap<u32, Vec<SchedClassifierLink>>,
}

impl Tcx {
    /// # Errors
    /// When the kernel does not hand out the programs once more.
    pub(super) fn open(probe: &mut Probe) -> Result<Self, ProbeError> {
        Ok(Self {
            ingress: classifier(probe, config::PROGRAM_INGRESS)?,
            egress: classifier(probe, config::PROGRAM_EGRESS)?,
            attached: BTreeMap::new(),
        })
    }

    /// Attaches both programs to an interface of the calling thread's namespace.
    fn attach_here(&mut self, ifindex: u32) -> Result<Vec<SchedClassifierLink>, ProgramError> {
        let name = interface_name(ifindex)?;
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
}

impl Attach for Tcx {
    fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<bool, ProbeError> {
        let links = netns.run(|| self.attach_here(ifindex))?;
        let links = links.map_err(|source| refused(operation(name, netns), source))?;
        self.attached.insert(interface, links);
        let is_behind = false;
        Ok(is_behind)
    }

    fn detach(&mut self, interface: u32) {
        self.attached.remove(&interface);
    }

    fn detach_all(&mut self, note: &mut dyn FnMut(u32)) {
        for (interface, links) in std::mem::take(&mut self.attached) {
            drop(links);
            note(interface);
        }
    }

    fn ends_with_descriptors(&self) -> bool {
        true
    }
}
