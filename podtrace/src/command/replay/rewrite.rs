//! Recordings made of recordings.
use crate::{
    cli::{InputArgs, WriteArgs},
    command::setup::{command, kernel, names_of, session_name, vxlan_ports},
    packet::VxlanPorts,
    replay::{
        inputs::{Input, firsts},
        player::Found,
        sampling::differ_in_sampling,
    },
    session::{
        files::{FileOptions, Keep, Replacement, SessionFiles, Target},
        format::{CAPTURE, FORMAT, SectionInfo, SourceSession},
        reader::VXLAN_PORTS,
        recorder::{Recorder, RecorderOptions},
    },
};

/// How recordings become another one.
pub(super) struct Rewrite<'a> {
    pub(super) target: Target,
    pub(super) how: WriteArgs,
    /// The only tap point of it.
    pub(super) vantage: Option<&'a str>,
    /// Whether it has only some packets of the recordings.
    pub(super) is_part: bool,
    /// Time between two writes to the kernel, in nanoseconds of the recording.
    pub(super) flush_ns: u64,
}

impl Rewrite<'_> {
    /// Opens what is to be written; returns the earlier file that it is to replace, too.
    pub(super) fn recorder(
        self,
        args: &InputArgs,
        found: &Found<'_>,
    ) -> anyhow::Result<(Recorder, Option<Replacement>)> {
        let Found {
            inputs,
            outline,
            clocks,
            ..
        } = found;
        let nodes: Vec<_> = firsts(inputs).flat_map(Input::nodes).collect();
        let interfaces = self.interfaces(args, inputs);
        let mut files = SessionFiles::open(FileOptions {
            target: self.target,
            rotates: false,
            keep: Keep::default(),
            max_file_bytes: None,
            zstd: self.how.zstd,
            force: self.how.force,
            node: nodes.join("+"),
            start: jiff::Timestamp::now(),
            recorder: None,
        })?;
        let infos = || inputs.iter().filter_map(Input::info);
        let info = SectionInfo {
            format: FORMAT,
            session: session_name()?,
            sessions: firsts(inputs).map(Input::sessions).sum(),
            nodes,
            snaplen: infos().map(|info| info.snaplen).min().unwrap_or(u32::MAX),
            sample: infos().map(|info| info.sample).max().unwrap_or(0),
            max_rate: infos().filter_map(|info| info.max_rate).max(),
            mixed_sampling: differ_in_sampling(inputs),
            headers_only: infos().any(|info| info.headers_only),
            selected: self.is_part || infos().any(|info| info.selected),
            hop_timeout_ns: infos().map(|info| info.hop_timeout_ns).max().unwrap_or(0),
            interfaces,
            vxlan_ports: tunnels(inputs, vxlan_ports(&args.vxlan_port)?),
            made_of: made_of(inputs)?,
            clocks: clocks.clone(),
            ..SectionInfo::default()
        };
        let options = RecorderOptions {
            info,
            kernel: kernel(),
            command: command(),
            rotate_bytes: None,
            rotate_ns: None,
            flush_ns: self.flush_ns,
            ticks_always: false,
            outline: outline.clone(),
        };
        let replacement = files.replacement();
        Ok((Recorder::new(options, files, 0).patient(), replacement))
    }

    /// The interfaces that it is limited to, or else the recordings.
    fn interfaces(&self, args: &InputArgs, inputs: &[Input]) -> Vec<String> {
        // An interface name has no slash.
        let vantage = self
            .vantage
            .iter()
            .filter_map(|name| name.rsplit('/').next());
        let vantage = vantage.map(str::to_owned);
        let given = names_of(args.chosen()).into_iter();
        let given: Vec<_> = given.chain(vantage).collect();
        if !given.is_empty() {
            return given;
        }
        let infos = inputs.iter().filter_map(Input::info);
        infos.flat_map(|info| info.interfaces.clone()).collect()
    }
}

/// The sessions of the inputs.
fn made_of(inputs: &[Input]) -> anyhow::Result<Box<[SourceSession]>> {
    let source = |input: &Input| {
        let info = input.info().filter(|info| !info.made_of.is_empty());
        Ok(SourceSession {
            session: match input.session()? {
                Some(name) => name,
                None => format!("{CAPTURE}{}", session_name()?),
            },
            live: match info {
                Some(info) => info.live(),
                None => input.parts()?,
            },
            boot_ns: input.boot_ns().unwrap_or_default(),
        })
    };
    inputs.iter().map(source).collect()
}

/// The UDP ports on which VXLAN is decoded in the inputs, apart from those of their snapshots.
fn tunnels(inputs: &[Input], given: VxlanPorts) -> Vec<u16> {
    let of = |input: &Input| match input.info() {
        Some(info) => info.vxlan_ports.clone(),
        None => VXLAN_PORTS.to_vec(),
    };
    given.with(&inputs.iter().flat_map(of).collect::<Vec<_>>())
}
