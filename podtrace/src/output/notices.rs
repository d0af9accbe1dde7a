//! Notices to the user beside packets.
use crate::{
    model::origin::Origin, pipeline::consumer::Consumer, sink, update::Update, world::World,
};

/// The notice of an update to the user, if it has one; [`Update::Start`] and
/// [`Update::Loss`] have forms of their own.
#[must_use]
pub fn in_words(origin: &Origin, update: &Update, world: &World) -> Option<String> {
    match update {
        Update::Notice { text } => Some(text.clone()),
        Update::Sampling { share, .. } => Some(on_nodes(origin, world, &sampling(*share))),
        Update::Attaching {
            left,
            refused,
            partial,
            since_ns: None,
            ..
        } => {
            let words = attaching(*left, *refused, *partial);
            Some(on_nodes(origin, world, &words))
        }
        _ => None,
    }
}

/// [`in_words`], and a loss in words too, for output that has no form of its own for it.
pub(crate) fn with_losses(origin: &Origin, update: &Update, world: &World) -> Option<String> {
    match update {
        Update::Loss(loss) => Some(world.loss_in_words(loss)),
        _ => in_words(origin, update, world),
    }
}

/// What is so at some of several nodes, with their names.
fn on_nodes(origin: &Origin, world: &World, words: &str) -> String {
    let names = world.nodes.get(origin.nodes.clone()).unwrap_or_default();
    if names.is_empty() || names.len() == world.nodes.len() {
        words.to_owned()
    } else {
        format!("{}: {words}", names.join("+"))
    }
}

fn sampling(share: u32) -> String {
    match share {
        1 => "all packets are traced".to_owned(),
        _ => format!("1 in {share} packets is traced"),
    }
}

/// The notice of how many interfaces still wait for their taps, how many refused them, and
/// how many are traced in part.
fn attaching(left: u64, refused: u64, partial: u64) -> String {
    match (left, refused, partial) {
        (0, 0, 0) => "every interface is traced now".to_owned(),
        (0, 0, _) => format!(
            "every interface is traced now, but {partial} only in part: packets may pass there unseen"
        ),
        (0, _, _) => format!(
            "every interface is traced now, but {} that cannot be: packets pass there unseen",
            refused + partial
        ),
        (1, ..) => {
            "1 more interface is being attached to; until then packets may pass there unseen"
                .to_owned()
        }
        _ => format!(
            "{left} more interfaces are being attached to; until then packets may pass there unseen"
        ),
    }
}

/// Prints notices on standard error, for output that goes elsewhere, such as a file or a
/// table.
pub struct Notices;

impl Consumer for Notices {
    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        // Paths that it affects count as incomplete.
        if matches!(update, Update::Attaching { .. }) {
            return;
        }
        if let Some(words) = with_losses(origin, update, world) {
            self.on_notice(&words);
        }
    }

    fn on_notice(&mut self, text: &str) {
        sink::tell(text);
    }
}
