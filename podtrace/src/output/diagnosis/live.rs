//! What is done while a diagnosis is live: packets are sent, and the trace ends as soon as more of
//! it would tell nothing more.
use std::time::Duration;

use crate::{
    clock::nanos,
    diagnosis::{Diagnosis, Plan, Unsent},
    prober::Prober,
    sink::tell,
    world::{World, locate::Kind},
};

/// How long the tables of the nodes may take to come, before packets are sent without the length
/// that they tell.
const TABLES_NS: u64 = 2_000_000_000;
/// A path is known this time after [`Live::new`]'s hop timeout at the latest.
const DECIDED_NS: u64 = 300_000_000;

/// A diagnosis that is live.
pub(crate) struct Live {
    /// What is said when packets are traced.
    words: String,
    sending: Sending,
    hop_timeout_ns: u64,
    /// Whether the names of the two may come later.
    waits: bool,
    /// When packets were first traced, as far as ticks tell.
    begun_ns: Option<u64>,
    has_begun: bool,
    quit: Option<Box<dyn FnOnce()>>,
}

/// How far sending is.
enum Sending {
    /// Nothing is to be sent.
    Never,
    /// It is to be sent once it is known what.
    Due(Prober),
    /// It is being sent.
    Sent(Prober),
    /// It is done, or was not possible, since then.
    Over(u64),
    /// The question is to be put in another way, as these words say.
    Misasked(String),
}

impl Live {
    /// `words`: said when packets are traced, unless some are sent; `prober`: sends them, if some are
    /// to be sent; `waits`: whether the names of the two may come later; `quit`: ends the trace.
    pub(crate) fn new(
        words: String,
        prober: Option<Prober>,
        hop_timeout: Duration,
        waits: bool,
        quit: Box<dyn FnOnce()>,
    ) -> Self {
        Self {
            words,
            sending: prober.map_or(Sending::Never, Sending::Due),
            hop_timeout_ns: nanos(hop_timeout),
            waits,
            begun_ns: None,
            has_begun: false,
            quit: Some(quit),
        }
    }

    /// Packets are traced from now on.
    pub(super) fn begin(&mut self) {
        if matches!(self.sending, Sending::Never) {
            tell(&self.words);
        }
        self.has_begun = true;
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now_ns: u64, diagnosis: &mut Diagnosis, world: &World) {
        if !self.has_begun {
            return;
        }
        let begun_ns = *self.begun_ns.get_or_insert(now_ns);
        let sending = std::mem::replace(&mut self.sending, Sending::Never);
        self.sending = match sending {
            Sending::Due(prober) if self.waits && is_unknown(diagnosis, world) => {
                // The tables are waited for from then on.
                self.begun_ns = None;
                Sending::Due(prober)
            }
            Sending::Due(prober) => {
                let waits = now_ns.saturating_sub(begun_ns) < TABLES_NS;
                send(prober, waits, now_ns, diagnosis, world)
            }
            Sending::Sent(prober) => match prober.result() {
                Some(Ok(probed)) => {
                    diagnosis.probed(probed);
                    Sending::Over(now_ns)
                }
                Some(Err(error)) => {
                    let words = format!("nothing was sent: {error}");
                    tell(&words);
                    diagnosis.note(words);
                    Sending::Over(now_ns)
                }
                None => Sending::Sent(prober),
            },
            sending => sending,
        };
        if self.is_over(now_ns, diagnosis, world)
            && let Some(quit) = self.quit.take()
        {
            quit();
        }
    }

    /// Why the question is to be put in another way, if it is.
    pub(super) fn misasked(&self) -> Option<&str> {
        match &self.sending {
            Sending::Misasked(words) => Some(words),
            _ => None,
        }
    }

    fn is_over(&self, now_ns: u64, diagnosis: &Diagnosis, world: &World) -> bool {
        match self.sending {
            Sending::Misasked(_) => true,
            Sending::Due(_) | Sending::Sent(_) => false,
            Sending::Over(since_ns) => {
                let settled_ns = self.hop_timeout_ns.saturating_add(DECIDED_NS);
                let is_settled = now_ns.saturating_sub(since_ns) >= settled_ns;
                diagnosis.is_answered() || is_settled && !diagnosis.awaits_more(world)
            }
            Sending::Never => diagnosis.is_certain(world) || is_elsewhere(diagnosis, world),
        }
    }
}

/// Sends what the diagnosis asks for.
fn send(
    prober: Prober,
    waits: bool,
    now_ns: u64,
    diagnosis: &mut Diagnosis,
    world: &World,
) -> Sending {
    // Pings that run beside have other numbers, most likely.
    let echo_id = std::process::id().to_le_bytes();
    match diagnosis.plan(u16::from_le_bytes([echo_id[0], echo_id[1]]), waits, world) {
        Ok(Plan::Wait) => Sending::Due(prober),
        Ok(Plan::Send(probes, name)) => {
            tell(&format!(
                "from {name} podtrace sends {probes}; nothing else"
            ));
            diagnosis.probe((*probes).clone());
            prober.send(*probes);
            Sending::Sent(prober)
        }
        Err(Unsent::NotHere(words)) => {
            tell(&words);
            diagnosis.note(words);
            Sending::Over(now_ns)
        }
        Err(Unsent::Misasked(words)) => Sending::Misasked(words),
    }
}

/// Whether one of the two is not known yet.
fn is_unknown(diagnosis: &Diagnosis, world: &World) -> bool {
    diagnosis.ends(world).iter().any(Option::is_none)
}

/// Whether neither of the two is on a traced node.
fn is_elsewhere(diagnosis: &Diagnosis, world: &World) -> bool {
    let ends = diagnosis.ends(world);
    ends.iter().flatten().count() == ends.len()
        && ends
            .iter()
            .flatten()
            .all(|end| end.kind == Kind::Pod && end.netns.is_none() && end.node.is_some())
}
