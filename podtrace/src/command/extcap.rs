//! `podtrace extcap`: lists for Wireshark's dialogue, and the capture.
use std::{
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::FileTypeExt as _},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, bail};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::dup2_stdout,
};
use tokio::sync::Notify;

use super::{
    FINE,
    filter::asked,
    print_out,
    setup::{nodes, sockets},
    trace::{Watch, follow, printer},
};
use crate::{
    cli::{ExtcapArgs, FileArgs},
    clock::epoch_ns,
    filter::Mistake,
    live::topology::pods,
    output::{
        extcap::{self, INTERFACE},
        faults::Faults,
    },
    privilege,
    text::escape::{escape, shown},
};

/// Runs the command; returns the exit code.
pub(super) fn run(args: &ExtcapArgs) -> anyhow::Result<u8> {
    if let Some(name) = args
        .extcap_interface
        .as_deref()
        .filter(|name| *name != INTERFACE)
    {
        bail!(
            "there is no interface {}\nhint: there is {INTERFACE}",
            shown(name)
        );
    }
    if args.capture {
        return capture(args);
    }
    let mut out = String::new();
    match (&args.extcap_reload_option, &args.extcap_capture_filter) {
        _ if args.extcap_interfaces => extcap::interfaces(&mut out),
        _ if args.extcap_dlts => extcap::link_layers(&mut out),
        (Some(option), _) if option.trim_start_matches('-') == "pod" => {
            extcap::pods(&mut out, known_pods(args));
        }
        (Some(option), _) => bail!(
            "--extcap-reload-option {}: that option has no list\nhint: there is one of --pod",
            shown(option)
        ),
        _ if args.extcap_config => extcap::options(&mut out),
        (None, Some(filter)) => out = what_is_wrong(filter, args)?,
        _ if args.extcap_version.is_some() => extcap::version(&mut out),
        _ => bail!(
            "Wireshark runs this command, with options that say what it wants\nhint: podtrace \
             extcap --extcap-interfaces; podtrace trace -o pcapng | wireshark -k -i - takes neither"
        ),
    }
    print_out(&out)?;
    Ok(FINE)
}

/// What is wrong with a filter, in a line; nothing if it is right. Wireshark takes any text for a
/// mistake, if the command succeeds.
fn what_is_wrong(filter: &str, args: &ExtcapArgs) -> anyhow::Result<String> {
    let filter = filter.trim();
    let words = [filter.to_owned()];
    match asked(&words, &args.filter.chosen) {
        Ok(_) => Ok(String::new()),
        Err(error) => {
            let mistake = error.downcast::<Mistake>()?;
            let place = mistake.place().and_then(|place| filter.get(place));
            let at = place.filter(|place| !place.is_empty());
            let at = at.map_or_else(String::new, |word| format!("{}: ", escape(word)));
            Ok(format!("{at}{}\n", mistake.what()))
        }
    }
}

/// The pods of this node, as far as its container runtime tells.
fn known_pods(args: &ExtcapArgs) -> Vec<String> {
    let ask = || {
        let nodes = nodes(&args.options.netns, &args.options.naming.node_name)?;
        let sockets = sockets(&args.options.naming, &nodes)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        anyhow::Ok(runtime.block_on(pods(nodes, sockets)))
    };
    // The list is then empty; other options take names as text.
    let found = ask().unwrap_or_default();
    let names = found
        .iter()
        .map(|pod| format!("{}/{}", pod.namespace, pod.name));
    names.collect()
}

/// Captures into the fifo, as into a pipe.
fn capture(args: &ExtcapArgs) -> anyhow::Result<u8> {
    let mut filter = args.filter.clone();
    filter.expression.extend(args.extcap_capture_filter.clone());
    let watch = Watch::new(printer(Box::new(Faults)), epoch_ns()?);
    if let Some(fifo) = &args.fifo {
        let fifo = become_output(fifo)?;
        end_with_reader(fifo, Arc::clone(&watch.quit))?;
    }
    follow((&args.options, &filter), Some(&FileArgs::piped()), watch)
}

/// Makes a fifo the standard output, once somebody reads it.
fn become_output(fifo: &Path) -> anyhow::Result<File> {
    let name = shown(fifo);
    let kind = fs::metadata(fifo).with_context(|| format!("--fifo {name}"))?;
    if !kind.file_type().is_fifo() {
        bail!(
            "--fifo {name} is no fifo\nhint: mkfifo {name}; podtrace record -w FILE writes a file"
        );
    }
    let opened = File::options().write(true).open(fifo);
    let opened = opened.with_context(|| format!("failed to open the fifo {name}"))?;
    dup2_stdout(&opened).with_context(|| format!("failed to write to the fifo {name}"))?;
    Ok(opened)
}

/// Ends the trace once nobody reads any more: not every Wireshark may signal podtrace.
fn end_with_reader(fifo: File, quit: Arc<Notify>) -> anyhow::Result<()> {
    let wait = move || {
        // The main thread reports privileges that cannot be given up.
        let _ = privilege::keep(privilege::NONE);
        // An end without a reader is an error, which is always told.
        let mut fds = [PollFd::new(fifo.as_fd(), PollFlags::empty())];
        while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
        quit.notify_one();
    };
    let thread = thread::Builder::new().name("fifo".into()).spawn(wait);
    thread.map(drop).context("failed to start a thread")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(line: &str) -> ExtcapArgs {
        let line = format!("podtrace extcap --extcap-interface podtrace {line}");
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Extcap(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    /// What Wireshark makes of the dialogue is a line that podtrace takes.
    #[test]
    fn options_of_the_dialogue_are_options() {
        let cli = Cli::command();
        let command = cli.find_subcommand("extcap").unwrap();
        for field in &extcap::OPTIONS {
            let name = field.call.strip_prefix("--");
            let is_named = |arg: &clap::Arg| arg.get_long() == name;
            assert!(command.get_arguments().any(is_named), "{}", field.call);
        }
    }

    #[test]
    fn wrong_filter_is_told_in_a_line() {
        let told = |filter: &str| what_is_wrong(filter, &args("--extcap-version=4.0")).unwrap();
        for good in ["", "icmp and host 10.0.0.1", "tcp port 80"] {
            assert_eq!(told(good), "", "{good}");
        }
        for bad in ["icmp and", "prot tcp", "host 10.0.0.1 and and"] {
            let told = told(bad);
            assert!(told.len() > 1 && told.ends_with('\n'), "{told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
    }

    #[test]
    fn only_a_fifo_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = become_output(&file).unwrap_err().to_string();
        assert!(error.contains("is no fifo"), "{error}");
        assert!(become_output(&folder.path().join("none")).is_err());
    }

    #[test]
    fn other_interfaces_and_options_are_refused() {
        let refused = |args: &ExtcapArgs| run(args).unwrap_err().to_string();
        let mut other = args("--extcap-dlts");
        other.extcap_interface = Some("eth0".into());
        assert!(refused(&other).contains("there is no interface eth0"));
        assert!(refused(&args("")).contains("--extcap-interfaces"));
        let reload = args("--extcap-config --extcap-reload-option --snaplen");
        assert!(refused(&reload).contains("--pod"));
    }
}
