//! The stream for other tools, and what the pipeline makes of it.
use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    time::Instant,
};

use anyhow::Result;
use podtrace::sink::Writer;
use podtrace_ebpf::record::{Direction, Record};

use crate::{
    stages::{self, Input},
    stream::Traffic,
};

const EVENTS: usize = 1_000_000;

/// Writes the stream as pcap, as a session, as the sessions of its two nodes, as text and as JSON, and
/// says how long the pipeline took.
pub(crate) fn write(dir: &Path) -> Result<()> {
    let input = Input::new(Traffic::Mixed, EVENTS);
    let records = &input.records;
    pcap(&dir.join("stream.pcap"), records)?;
    stages::record(&input, &dir.join("stream.pcapng"))?;
    for node in [0, 1] {
        let name = format!("worker{}.pcapng", node + 1);
        stages::record_of(node, &input, &dir.join(name))?;
    }
    let batches = crate::batches(records);
    for (name, format) in [
        ("stream.text", crate::text as fn() -> _),
        ("stream.json", crate::json),
    ] {
        let file = Writer(File::create(dir.join(name))?);
        let before = Instant::now();
        let printer = crate::printer(format(), file);
        crate::run(crate::pipeline(printer), &batches)?;
        let took = before.elapsed();
        let each = took.as_nanos() / records.len() as u128;
        println!(
            "{name}: {} events in {took:?}, {each} ns each",
            records.len()
        );
    }
    Ok(())
}

/// One Ethernet packet for each event, without its IP header's checksum.
fn pcap(path: &Path, records: &[Vec<u8>]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    // Nanoseconds, version 2.4, Ethernet.
    for word in [0xa1b2_3c4d_u32, 2 | 4 << 16, 0, 0, 262_144, 1] {
        file.write_all(&word.to_le_bytes())?;
    }
    for record in records
        .iter()
        .filter_map(|bytes| Record::decode(bytes).ok())
    {
        // A socket's packet has no Ethernet header.
        let link: &[u8] = match record.direction {
            Direction::Socket => &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0],
            Direction::Ingress | Direction::Egress | Direction::Unknown => &[],
        };
        let (seconds, ns) = (record.ts_ns / 1_000_000_000, record.ts_ns % 1_000_000_000);
        let added = link.len() as u32;
        let lengths = [record.data.len() as u32 + added, record.wire_len + added];
        for word in [seconds as u32, ns as u32].into_iter().chain(lengths) {
            file.write_all(&word.to_le_bytes())?;
        }
        file.write_all(link)?;
        file.write_all(record.data)?;
    }
    file.flush()
}
