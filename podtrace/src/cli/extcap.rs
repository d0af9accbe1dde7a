//! Options of `extcap`, which Wireshark calls.
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{CaptureArgs, LiveFilterArgs};

/// The name of the command, and the end of the names of programs that stand for it.
const NAME: &str = "extcap";

/// Options of `extcap`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Wireshark runs the programs in its folder for extcap, asks each for its interfaces and options,
shows these in a dialogue, and reads packets from a fifo. A link there to podtrace whose name ends
in extcap behaves as this command. It captures what trace -o pcapng writes, every hop of every packet
with the names of pods, and takes the options of trace. Capturing takes the privileges of trace; the
lists take none.

Examples:
  mkdir -p ~/.local/lib/wireshark/extcap
  ln -s \"$(command -v podtrace)\" ~/.local/lib/wireshark/extcap/podtrace-extcap
  tshark -D                                 lists podtrace
  sudo tshark -i podtrace -f 'tcp port 80'  where root has such a link
  sudo tshark -i podtrace -o extcap.podtrace.pod:default/web

Without Wireshark:
  podtrace extcap --extcap-interfaces
  podtrace extcap --extcap-interface podtrace --extcap-config
  podtrace extcap --extcap-interface podtrace --extcap-capture-filter icmp
  mkfifo f; sudo podtrace extcap --extcap-interface podtrace --capture --fifo f & tshark -i f"
)]
pub struct ExtcapArgs {
    /// Print the interfaces
    #[arg(long, help_heading = "Wireshark")]
    pub extcap_interfaces: bool,
    /// The version of Wireshark that asks
    #[arg(long, value_name = "VERSION", help_heading = "Wireshark")]
    pub extcap_version: Option<String>,
    /// The interface that the other options are about
    #[arg(long, value_name = "NAME", help_heading = "Wireshark")]
    pub extcap_interface: Option<String>,
    /// Print the interface's link layers
    #[arg(long, help_heading = "Wireshark")]
    pub extcap_dlts: bool,
    /// Print the interface's options
    #[arg(long, help_heading = "Wireshark")]
    pub extcap_config: bool,
    /// Print the values that an option can have now
    #[arg(
        long,
        value_name = "OPTION",
        allow_hyphen_values = true,
        help_heading = "Wireshark"
    )]
    pub extcap_reload_option: Option<String>,
    /// Capture only packets that match this pcap-filter expression; without --capture, print what is
    /// wrong with it, if anything is
    #[arg(
        long,
        value_name = "EXPRESSION",
        allow_hyphen_values = true,
        conflicts_with = "expression",
        help_heading = "Wireshark"
    )]
    pub extcap_capture_filter: Option<String>,
    /// Trace, until a signal or until nobody reads any more
    #[arg(
        long,
        requires = "fifo",
        requires = "extcap_interface",
        help_heading = "Wireshark"
    )]
    pub capture: bool,
    /// The fifo that packets are written to
    #[arg(long, value_name = "FIFO", help_heading = "Wireshark")]
    pub fifo: Option<PathBuf>,
    /// Which packets.
    #[command(flatten)]
    pub filter: LiveFilterArgs,
    /// What to trace.
    #[command(flatten)]
    pub options: CaptureArgs,
}

/// The command line of a program whose name says which command it is, with that command.
pub(super) fn with_command(mut line: Vec<OsString>) -> Vec<OsString> {
    let program = line
        .first()
        .and_then(|program| Path::new(program).file_name());
    if program.is_some_and(|name| name.as_encoded_bytes().ends_with(NAME.as_bytes())) {
        line.insert(1, NAME.into());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_the_program_is_the_command() {
        let line = |words: &[&str]| with_command(words.iter().map(Into::into).collect());
        let program = "/usr/lib/wireshark/extcap/podtrace-extcap";
        assert_eq!(
            line(&[program, "--extcap-interfaces"]),
            [program, "extcap", "--extcap-interfaces"]
        );
        for same in [&["extcap/podtrace", "trace"][..], &["podtrace"], &[]] {
            assert_eq!(line(same), same);
        }
    }
}
