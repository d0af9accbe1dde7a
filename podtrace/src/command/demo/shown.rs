//! Selects the packets that the demo shows: its own pings and requests.
use std::io;

use tokio::sync::watch;

use crate::{
    model::{loss::LostSpan, origin::Origin},
    output::printer::Printer,
    packet::Transport,
    path::{
        Path,
        summary::{NotShown, Summary},
    },
    pipeline::consumer::{Consumer, Tick},
    text::count::counted,
    update::Update,
    world::World,
};

/// Identifier of the pings.
pub(super) const PING: u16 = 23;
/// Identifier of the pings that do not arrive.
pub(super) const LOST_PING: u16 = 24;

/// Port of the Service.
pub(super) const SERVICE_PORT: u16 = 53;
/// Port of its backend.
pub(super) const BACKEND_PORT: u16 = 5353;

/// Prints the demo's own packets, or all.
pub(super) struct Shown {
    printer: Printer,
    all: bool,
    /// How many of the demo's own were printed.
    own: watch::Sender<u64>,
    /// The counts of the printed packets, where they differ from those of the traced ones.
    printed: Summary,
}

impl Shown {
    pub(super) fn new(printer: Printer, all: bool) -> Self {
        Self {
            printer,
            all,
            own: watch::Sender::new(0),
            printed: Summary::default(),
        }
    }

    /// Counts the demo's own packets as they are printed.
    pub(super) fn own(&self) -> watch::Receiver<u64> {
        self.own.subscribe()
    }
}

fn is_own(path: &Path) -> bool {
    match path.packet.transport {
        Transport::Echo { id, .. } => matches!(id, PING | LOST_PING),
        Transport::Udp {
            source,
            destination,
            ..
        } => [source, destination]
            .iter()
            .any(|port| matches!(*port, SERVICE_PORT | BACKEND_PORT)),
        _ => false,
    }
}

impl Consumer for Shown {
    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        self.printer.on_update(origin, update, world);
    }

    fn on_notice(&mut self, text: &str) {
        self.printer.on_notice(text);
    }

    fn on_path(&mut self, path: &Path, world: &World) {
        let is_own = is_own(path);
        if !self.all && !is_own {
            return;
        }
        self.printer.on_path(path, world);
        self.printed.count(path, path.late_of);
        if is_own {
            // So that the next title comes after it.
            self.printer.hand_on();
            self.own.send_modify(|own| *own += 1);
        }
    }

    fn on_loss(&mut self, lost: LostSpan) {
        self.printer.on_loss(lost);
    }

    fn on_tick(&mut self, tick: &Tick<'_>, world: &World) -> Vec<String> {
        self.printer.on_tick(tick, world)
    }

    fn on_end(&mut self, summary: &Summary, world: &World) -> Vec<String> {
        let others = summary.packets.saturating_sub(self.printed.packets);
        if others > 0 {
            let more = counted(others, "more packet");
            let verb = if others == 1 { "is" } else { "are" };
            let text = format!("{more}, such as ARP and neighbour discovery, {verb} shown with -v");
            self.printer.on_notice(&text);
        }
        let printed = Summary {
            packets: self.printed.packets,
            incomplete: self.printed.incomplete,
            outcomes: self.printed.outcomes,
            ..summary.clone()
        };
        self.printer.on_end(&printed, world)
    }

    fn not_shown(&self) -> NotShown {
        self.printer.not_shown()
    }

    fn has_failed(&self) -> bool {
        self.printer.has_failed()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.printer.flush()
    }

    fn close(&mut self) -> io::Result<()> {
        self.printer.close()
    }
}
