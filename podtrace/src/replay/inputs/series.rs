//! The files of one run of a capturing tool that begins another file by size or by time.
use std::{collections::BTreeMap, ffi::OsStr, path::Path};

use super::Input;
use crate::{order::Order as _, text::count::counted};

/// How much later than the first packet of a file the last one of the file before it may be, in
/// nanoseconds: several CPUs capture, and their packets are not quite in order.
const OVERLAP_NS: u64 = 100_000_000;

/// The kinds of file that a number follows: `x.pcap1`.
const EXTENSIONS: [&str; 4] = [".pcap", ".pcapng", ".cap", ".dmp"];

/// The digits of a date with a time of day, of seconds since 1970, and of a time of day.
const STAMPS: [usize; 3] = [14, 10, 6];

/// Makes one input of the files of each run. Returns notices of them.
///
/// Files are of one run if they are in one directory, have one name but for the number or the
/// time that tcpdump or dumpcap put there, have the same link layers, and follow each other in
/// time.
pub(crate) fn join(inputs: &mut Vec<Input>) -> Vec<String> {
    let mut runs: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (number, input) in inputs.iter().enumerate() {
        if let Some(series) = input.series() {
            let layers = input.links.clone();
            runs.entry((series, layers)).or_default().push(number);
        }
    }
    let mut notices = Vec::new();
    let mut taken = Vec::new();
    for mut numbers in runs.into_values().filter(|numbers| numbers.len() > 1) {
        // What has no packet has no place: the end is as good as any.
        let begin = |number: &usize| inputs[*number].span.map_or(u64::MAX, |(begin, _)| begin);
        numbers.order_by_key(begin);
        let spans: Vec<_> = numbers.iter().filter_map(|it| inputs[*it].span).collect();
        let follows = |pair: &[(u64, u64)]| pair[0].1 <= pair[1].0.saturating_add(OVERLAP_NS);
        if !spans.windows(2).all(follows) {
            continue;
        }
        let name = inputs[numbers[0]].nodes().concat();
        let files = numbers.iter().flat_map(|it| inputs[*it].files.clone());
        let files: Vec<_> = files.collect();
        let count = counted(files.len() as u64, "file");
        notices.push(format!(
            "{name}: {count} by their names and times the parts of one capture (--each-file to take each for a node of its own)"
        ));
        // The place in the order is that of the first one given.
        let first = numbers.iter().copied().min().unwrap_or_default();
        let spans = spans.first().zip(spans.last());
        let whole = &mut inputs[first];
        whole.files = files;
        whole.name = Some(name.into());
        whole.span = spans.map(|(first, last)| (first.0, last.1));
        taken.extend(numbers.into_iter().filter(|number| *number != first));
    }
    let mut number = 0;
    inputs.retain(|_| {
        number += 1;
        !taken.contains(&(number - 1))
    });
    notices
}

impl Input {
    /// What the paths of all files of a run have in common; none if no tool numbers so.
    fn series(&self) -> Option<String> {
        let [file] = &self.files[..] else { return None };
        if self.info.is_some() || self.is_stream() {
            return None;
        }
        let name = common(file.file_name()?.to_str()?)?;
        let directory = file.parent().map_or(OsStr::new(""), Path::as_os_str);
        Some(format!("{}/{name}", directory.to_str()?))
    }
}

/// A name without the number behind it, and without the time within it.
fn common(name: &str) -> Option<String> {
    let name = [".gz", ".zst"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed))
        .unwrap_or(name);
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let is_counted = EXTENSIONS.iter().any(|kind| stem.ends_with(kind));
    let name = if is_counted { stem } else { name };
    match without_stamp(name) {
        None => is_counted.then(|| name.to_owned()),
        stamped => stamped,
    }
}

/// A name with the time within it left out, as `tcpdump -G` (`x-%Y%m%d-%H%M%S.pcap`) and
/// `dumpcap -b` (`x_00001_20261130120000.pcapng`) write it.
fn without_stamp(name: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_ascii_digit() || "-_:.T".contains(letter);
    let end = name.rfind(|letter: char| letter.is_ascii_digit())? + 1;
    let digits = |at: usize| name[at..end].bytes().filter(u8::is_ascii_digit).count();
    let begin = |count: usize| {
        let before = name[..end].char_indices().rev();
        let mut part = before.take_while(|(_, letter)| is_part(*letter));
        let found = part.find(|(at, _)| digits(*at) == count)?.0;
        let is_whole = !name[..found].ends_with(|letter: char| letter.is_ascii_digit());
        let stamp: String = name[found..end]
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        (is_whole && is_time(&stamp)).then_some(found)
    };
    let begin = STAMPS.into_iter().find_map(begin)?;
    let before = &name[..begin];
    let before = before
        .strip_suffix('_')
        .and_then(|before| before.rsplit_once('_'))
        .filter(|(_, number)| number.len() == 5 && number.bytes().all(|it| it.is_ascii_digit()))
        .map_or(before, |(before, _)| before);
    Some(format!("{before}*{}", &name[end..]))
}

/// Whether digits are a time.
fn is_time(digits: &str) -> bool {
    let field = |at: usize| {
        digits
            .get(at..at + 2)
            .and_then(|two| two.parse::<u8>().ok())
    };
    let below = |at: usize, limit: u8| field(at).is_some_and(|value| value < limit);
    let of_day = |at: usize| below(at, 24) && below(at + 2, 60) && below(at + 4, 61);
    let one_to = |at: usize, last: u8| below(at, last + 1) && field(at) != Some(0);
    match digits.len() {
        14 => ["19", "20"].contains(&&digits[..2]) && one_to(4, 12) && one_to(6, 31) && of_day(8),
        10 => digits.starts_with('1'),
        6 => of_day(0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn names_of_one_run_have_one_pattern() {
        for names in [
            &["x.pcap", "x.pcap1", "x.pcap23", "x.pcap2.gz", "x.pcap007"][..],
            &["trace.cap0", "trace.cap9.zst"],
            &[
                "x-20261130-120000.pcap",
                "x-20261130-130000.pcap",
                "x-20261201-000000.pcap3",
            ],
            &["x-2026-11-30_12:00:00.pcap", "x-2026-11-30_12:05:00.pcap"],
            &["n1-1764504000.pcap", "n1-1764504060.pcap"],
            &["x-120000", "x-130000"],
            &[
                "x_00001_20261130120000.pcapng",
                "x_00002_20261130120500.pcapng",
            ],
        ] {
            let first = common(names[0]);
            assert!(first.is_some(), "{names:?}");
            for name in names {
                assert_eq!(common(name), first, "{name}");
            }
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for (one, other) in [
            ("worker1.pcap", "worker2.pcap"),
            ("node1", "node2"),
            ("a.pcap", "b.pcap1"),
            ("x.eth1", "x.eth2"),
            ("w1-20261130-120000.pcap", "w2-20261130-130000.pcap"),
            ("w-01-20261130-120000.pcap", "w-02-20261130-130000.pcap"),
            ("10.244.1.4.pcap", "10.244.2.7.pcap"),
            ("x-99999999999999.pcap", "x-99999999999998.pcap"),
            ("", "7"),
        ] {
            let [one, other] = [one, other].map(common);
            assert!(one.is_none() || one != other, "{one:?} {other:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name_has_a_pattern_or_none(name in "[-_0-9:.Txé]{0,30}") {
            let _ = common(&name);
        }
    }
}
