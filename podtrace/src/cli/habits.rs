//! Options of the text of packets that have tcpdump's letters.
use clap::{ArgAction, Args, ValueEnum};

const HEADING: &str = "Packets in text";

/// What is shown of a packet in text, by tcpdump's letters.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct HabitArgs {
    /// Show the captured bytes in hexadecimal, from the IP header on: of a packet at its first
    /// hop, below its line with -o compact too; with -o events at each. Twice (-xx), or with -e:
    /// from the link header on
    #[arg(short = 'x', long, action = ArgAction::Count, help_heading = HEADING)]
    pub hex: u8,
    /// Show the captured bytes as characters, likewise
    #[arg(short = 'A', long, action = ArgAction::Count, help_heading = HEADING)]
    pub ascii: u8,
    /// --hex and --ascii side by side
    #[arg(short = 'X', action = ArgAction::Count, help_heading = HEADING)]
    pub hex_and_ascii: u8,
    /// Show MAC addresses and VLAN of a packet at its first hop, with -o events at each
    #[arg(short = 'e', long, overrides_with = "link_level", help_heading = HEADING)]
    pub link_level: bool,
    /// Show TCP's numbers as they are, not counted from the first that was seen of the flow
    #[arg(short = 'S', long, visible_alias = "absolute-tcp-sequence-numbers",
          overrides_with_all = ["absolute_seq", "relative_seq"], help_heading = HEADING)]
    pub absolute_seq: bool,
    /// Count TCP's numbers from the first that was seen of the flow: the default
    #[arg(long, overrides_with_all = ["absolute_seq", "relative_seq"], help_heading = HEADING)]
    pub relative_seq: bool,
    /// One line for each packet, of TCP without flags and numbers; with -o events shorter lines
    #[arg(short = 'q', long, overrides_with = "quiet", help_heading = HEADING)]
    pub quiet: bool,
    /// --time by tcpdump's count of letters: -t none, -tt epoch, -ttt delta, -tttt date,
    /// -ttttt relative
    #[arg(short = 't', action = ArgAction::Count, value_parser = time_letters,
          conflicts_with = "time", help_heading = HEADING)]
    pub time_letters: u8,
}

impl HabitArgs {
    /// The style that `-t` asks for; none without it.
    #[must_use]
    pub fn time(&self) -> Option<TimeStyle> {
        match self.time_letters {
            0 => None,
            1 => Some(TimeStyle::None),
            2 => Some(TimeStyle::Epoch),
            3 => Some(TimeStyle::Delta),
            4 => Some(TimeStyle::Date),
            _ => Some(TimeStyle::Relative),
        }
    }

    /// Whether bytes are shown in hexadecimal, and as characters.
    #[must_use]
    pub fn bytes(&self) -> (bool, bool) {
        let both = self.hex_and_ascii > 0;
        (both || self.hex > 0, both || self.ascii > 0)
    }

    /// Whether bytes are shown from the link header on.
    #[must_use]
    pub fn with_link_header(&self) -> bool {
        self.link_level || self.hex > 1 || self.ascii > 1 || self.hex_and_ascii > 1
    }

    /// The first flag whose data only text has.
    #[must_use]
    pub fn of_text(&self) -> Option<&'static str> {
        let given = [
            (self.hex > 0, "--hex"),
            (self.ascii > 0, "--ascii"),
            (self.hex_and_ascii > 0, "-X"),
            (self.link_level, "--link-level"),
            (self.quiet, "--quiet"),
        ];
        let found = given.into_iter().find(|(is_given, _)| *is_given);
        found.map(|(_, name)| name)
    }
}

/// A number of letters, of which each means another style.
fn time_letters(text: &str) -> Result<u8, String> {
    let count = text.parse().ok().filter(|count| *count <= 5);
    count.ok_or_else(|| "five letters are the most: -ttttt".into())
}

/// Lists what could be traced.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ListArgs {
    /// List the interfaces that would be tapped, with whose they are and what for, and exit
    #[arg(short = 'D', long, conflicts_with_all = ["write", "tui", "command"])]
    pub list_interfaces: bool,
}

/// How times are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TimeStyle {
    /// Time of day
    Local,
    /// Time of day in UTC
    Utc,
    /// Date and time of day
    Date,
    /// Seconds since the first packet shown
    Relative,
    /// Seconds since the packet shown before
    Delta,
    /// Seconds since 1970 (UTC)
    Epoch,
    /// None
    None,
}

/// The direction of hops, as an interface sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flow {
    /// What an interface hands to its network namespace: ingress
    In,
    /// What an interface is given to send: egress
    Out,
    /// Both
    Inout,
}
