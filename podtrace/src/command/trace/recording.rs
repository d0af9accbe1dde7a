//! The options of a recording.
use std::{os::unix::ffi::OsStrExt as _, path};

use anyhow::Context as _;

use crate::{
    cli::{CaptureArgs, FileArgs},
    clock::nanos,
    command::setup::{command, kernel, names_of, refuse_terminal_for_packets, session_name},
    live::{recording::Recording, topology::Show},
    node::target::Node,
    output::{topology::text, width::Width},
    session::{
        files::{FileOptions, Keep, RecorderId, SessionFiles, Target},
        format::{FORMAT, SectionInfo},
        recorder::{Outline, RecorderOptions},
    },
    sink,
    text::{escape::escape_bytes, sanitize::sanitize},
};

/// Creates the first file of a recording, if one is asked for. `is_part`: of some packets.
pub(super) fn open(
    args: &FileArgs,
    capture: &CaptureArgs,
    nodes: &[Node],
    epoch_ns: i128,
    is_part: bool,
) -> anyhow::Result<Option<Recording>> {
    let Some(path) = &args.write else {
        return Ok(None);
    };
    if args.is_stdout() {
        refuse_terminal_for_packets("podtrace record -w FILE")?;
    }
    let names: Vec<_> = nodes.iter().map(|node| node.name.to_string()).collect();
    let keep = Keep {
        files: args.keep_files,
        bytes: args.keep_size,
        age: args.keep_time,
    };
    let recorder = (args.rotates() || keep != Keep::default()).then(|| RecorderId {
        target: path::absolute(path).map_or_else(
            |_| String::new(),
            |path| escape_bytes(path.as_os_str().as_bytes()).into_owned(),
        ),
        nodes: names.clone(),
    });
    let files = SessionFiles::open(FileOptions {
        target: if args.is_stdout() {
            Target::Stdout
        } else {
            Target::Path(path.clone())
        },
        rotates: args.rotates(),
        keep,
        max_file_bytes: args.rotate_bytes(),
        zstd: args.how.zstd,
        force: args.how.force,
        node: names.join("+"),
        start: jiff::Timestamp::now(),
        recorder: recorder.clone(),
    })?;
    if let Some(warning) = files.warning() {
        sink::tell(&sanitize(warning));
    }
    let info = SectionInfo {
        format: FORMAT,
        session: session_name()?,
        sessions: 1,
        nodes: names,
        epoch_ns: i64::try_from(epoch_ns).context("the clock is wrong")?,
        snaplen: capture.snaplen,
        sample: capture.load.sample.unwrap_or(1),
        max_rate: capture.load.max_rate,
        headers_only: capture.load.headers_only,
        selected: is_part,
        tells_start: true,
        hop_timeout_ns: nanos(capture.hop_timeout),
        interfaces: names_of(capture.chosen()),
        recorder: recorder.map(|recorder| recorder.target),
        ..SectionInfo::default()
    };
    let options = RecorderOptions {
        info,
        kernel: kernel(),
        command: command(),
        rotate_bytes: args.rotate_bytes(),
        rotate_ns: args.rotate_after().map(nanos),
        flush_ns: nanos(args.flush_after()),
        ticks_always: args.ticks_always,
        outline: Outline::ethernet(),
    };
    let show: Show = |out, topology| text::write(out, topology, false, Width::Any);
    Ok(Some(Recording::new(files, options, show)))
}
