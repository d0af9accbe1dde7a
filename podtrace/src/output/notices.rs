//! Notices to the user beside packets.
use crate::{
    model::origin::Origin, pipeline::consumer::Consumer, sink, update::Update, world::World,
};

/// The notice of an update to the user, if it has one; [`Update::Start`] and
/// [`Update::Loss`] have forms of their own.
#[must_use]
pub fn in_words(update: &Update) -> Option<String> {
    match update {
        Update::Notice { text } => Some(text.clone()),
        Update::Sampling { share: 1, .. } => Some("all packets are traced".to_owned()),
        Update::Sampling { share, .. } => Some(format!("1 in {share} packets is traced")),
        Update::Attaching {
            left,
            refused,
            partial,
            since_ns: None,
            ..
        } => Some(attaching(*left, *refused, *partial)),
        _ => None,
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
    fn on_update(&mut self, _: &Origin, update: &Update, world: &World) {
        match update {
            Update::Loss(loss) => self.on_notice(&world.loss_in_words(loss)),
            // Paths that it affects count as incomplete.
            Update::Attaching { .. } => {}
            _ => {
                if let Some(words) = in_words(update) {
                    self.on_notice(&words);
                }
            }
        }
    }

    fn on_notice(&mut self, text: &str) {
        sink::tell(text);
    }
}
