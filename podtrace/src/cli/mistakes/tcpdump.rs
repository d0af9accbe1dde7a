//! tcpdump's options that podtrace does not have, and what it has instead.

/// An option of tcpdump, where it is unknown.
struct Habit {
    /// As it is given.
    options: &'static [&'static str],
    /// The commands; none for all.
    commands: &'static [&'static str],
    why: &'static str,
    /// What to type instead.
    line: &'static str,
}

/// The commands that read files.
const FILES: &[&str] = &["replay", "stats", "report", "export"];
const ALL: &[&str] = &[];

const fn habit(
    options: &'static [&'static str],
    commands: &'static [&'static str],
    why: &'static str,
    line: &'static str,
) -> Habit {
    Habit {
        options,
        commands,
        why,
        line,
    }
}

/// The first that fits counts.
const HABITS: &[Habit] = &[
    habit(
        &["-r"],
        FILES,
        "recordings are named without an option",
        "podtrace replay FILE -- icmp",
    ),
    habit(
        &["-r"],
        &["trace", "record"],
        "recordings are read by a command of their own",
        "podtrace replay FILE -- icmp",
    ),
    habit(
        &["-V"],
        ALL,
        "several recordings are named one after the other",
        "podtrace replay FILE FILE",
    ),
    habit(
        &["-w", "--write"],
        &["replay", "stats", "flows"],
        "a part of a recording is written by export",
        "podtrace export --format pcapng -w OUT FILE -- icmp",
    ),
    habit(
        &["-o", "--output"],
        &["export"],
        "the file to write is named by -w, --write, and what it holds by --format",
        "podtrace export --format csv -w OUT FILE",
    ),
    habit(
        &["-o", "--output"],
        &["record"],
        "record shows no packets; the file to write is named by -w, --write",
        "podtrace record -w FILE",
    ),
    habit(
        &["-C", "-G", "-W", "-U", "--packet-buffered"],
        &["replay", "stats", "report", "export", "flows"],
        "files are rotated and flushed while packets are recorded",
        "podtrace record -U -C 100 -W 10 -w FILE",
    ),
    habit(
        &["-D", "--list-interfaces"],
        &["record", "flows", "replay", "stats", "report", "export"],
        "trace lists what can be tapped",
        "podtrace trace --list-interfaces",
    ),
    habit(
        &[
            "-n",
            "--numeric",
            "-x",
            "--hex",
            "-X",
            "-A",
            "--ascii",
            "-e",
            "-q",
            "-S",
            "-t",
        ],
        &["record"],
        "record shows no packets, and has no option for it; trace records too",
        "podtrace trace -n -w FILE",
    ),
    habit(
        &[
            "-n",
            "--numeric",
            "-x",
            "--hex",
            "-X",
            "-A",
            "--ascii",
            "-e",
            "-q",
            "-S",
            "-t",
        ],
        &["flows", "stats", "report", "export"],
        "this command shows no packets, and has no option for it",
        "podtrace replay -n FILE",
    ),
    habit(
        &["-s", "--snapshot-length", "--snaplen"],
        FILES,
        "a recording has as much of each packet as was captured",
        "podtrace record --snaplen 1500 -w FILE",
    ),
    habit(
        &["-v", "-vv", "-vvv"],
        &["stats", "report", "export"],
        "all that is known of a packet is in JSON",
        "podtrace replay -o json FILE",
    ),
    habit(
        &["-p", "--no-promiscuous-mode", "-I", "--monitor-mode"],
        ALL,
        "podtrace changes no interface, and sees what the node sees",
        "podtrace trace -i cni0",
    ),
    habit(
        &["-l"],
        ALL,
        "lines are written at once",
        "podtrace trace | grep ICMP",
    ),
    habit(
        &["-B", "--buffer-size"],
        ALL,
        "the size of the buffers is an option in MiB",
        "podtrace trace --buffer 16",
    ),
    habit(
        &["-F"],
        ALL,
        "an expression stands on the line",
        "podtrace trace \"$(cat FILE)\"",
    ),
    habit(
        &["-T", "-E", "-M"],
        ALL,
        "podtrace reads headers, DNS and what errors quote, and decrypts nothing; Wireshark does",
        "podtrace export --format pcapng -w OUT FILE",
    ),
    habit(
        &["-y", "--linktype", "-L", "--list-data-link-types"],
        ALL,
        "each interface has its own link layer, and a recording has Ethernet frames",
        "podtrace record -w FILE",
    ),
    habit(
        &[
            "-j",
            "-J",
            "--time-stamp-type",
            "--list-time-stamp-types",
            "--time-stamp-precision",
            "--nano",
            "--micro",
        ],
        ALL,
        "the kernel side takes the time, in nanoseconds; an option says how it is shown",
        "podtrace trace --time epoch",
    ),
    habit(
        &["-#", "--number"],
        ALL,
        "packets are numbered where each hop has a line",
        "podtrace trace -o events",
    ),
    habit(
        &[
            "-K",
            "--dont-verify-checksums",
            "-O",
            "--no-optimize",
            "-H",
            "-f",
            "-b",
            "-u",
        ],
        ALL,
        "there is nothing of this to turn on or off",
        "podtrace trace icmp",
    ),
    habit(
        &["-Z", "--relinquish-privileges"],
        ALL,
        "podtrace gives up by itself what it does not need",
        "podtrace trace icmp",
    ),
    habit(
        &["-z"],
        ALL,
        "files are compressed by podtrace itself",
        "podtrace record --zstd -w FILE",
    ),
    habit(
        &["--print"],
        ALL,
        "trace prints what it records, too",
        "podtrace trace -w FILE",
    ),
];

/// What to do instead of an unknown option of tcpdump.
pub(super) fn instead(option: &str, command: &str) -> Option<String> {
    let fits = |habit: &&Habit| {
        habit.options.contains(&option)
            && (habit.commands.is_empty() || habit.commands.contains(&command))
    };
    let found = HABITS.iter().find(fits)?;
    Some(format!("{}: {}", found.why, found.line))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::{Cli, mistakes::tests::error_text};

    const LIVE: &[&str] = &["trace", "record", "flows"];
    /// tcpdump's letters.
    const LETTERS: &str = "#ABCDEFGHIJKLMNOQSTUVWXZbcdefhijlnpqrstuvwxyz";
    /// Those that mean something else here: some commands have them, and some do not.
    const OTHERS: &str = "Ndfhl";

    #[test]
    fn each_letter_is_known_or_has_something_instead() {
        for name in LIVE.iter().chain(FILES) {
            let podtrace = Cli::command();
            let command = podtrace.find_subcommand(name).unwrap();
            for letter in LETTERS.chars().filter(|letter| !OTHERS.contains(*letter)) {
                let option = format!("-{letter}");
                let instead = instead(&option, name);
                if command
                    .get_opts()
                    .any(|opt| opt.get_short() == Some(letter))
                {
                    assert_eq!(instead, None, "{name} {option}");
                    continue;
                }
                let text = error_text(&[name, &option]);
                let instead = instead.unwrap_or_else(|| format!("something for {name} {option}"));
                assert!(text.contains(&instead), "{instead}: {text}");
                assert!(text.contains(&format!("'{option}'")), "{text}");
            }
        }
    }

    #[test]
    fn each_line_can_be_typed() {
        for Habit { line, .. } in HABITS {
            let words = line.split(" |").next().unwrap_or_default();
            assert!(Cli::try_parse_from(words.split(' ')).is_ok(), "{line}");
        }
    }

    /// The lines that fingers type, with podtrace's commands in front.
    #[test]
    fn lines_of_tcpdump_are_read() {
        for line in [
            "trace -nn -i eth0 icmp",
            "trace -ni eth0 -c 10 tcp port 80",
            "trace -s 0 -i eth0 -w x.pcap",
            "trace -s0 -nvvXi eth0 host 10.0.0.1",
            "trace -Q in -tttt -e port 53",
            "trace -Qinout -SAq udp",
            "trace -D",
            "trace -xx arp",
            "trace -XX -ttt",
            "record -i eth0 -s 0 -U -w x.pcap -C 100 -W 10 port 53",
            "record -G 3600 -W 24 -w x.pcap -Q out",
            "replay -c 10 -ttttt -A x.pcap -- icmp",
            "replay -nnXS x.pcap",
            "replay -Q in x.pcap",
            "stats -c 10 x.pcap",
        ] {
            let words = ["podtrace"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
