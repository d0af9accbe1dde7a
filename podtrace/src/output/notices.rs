//! Notices: what the user should know beside packets.
use crate::{model::origin::Origin, pipeline::consumer::Consumer, update::Update, world::World};

/// What an update says to the user, if it does; [`Update::Start`] and [`Update::Loss`]
/// have forms of their own.
#[must_use]
pub fn in_words(update: &Update) -> Option<String> {
    match update {
        Update::Notice { text } => Some(text.clone()),
        Update::Sampling { share: 1, .. } => Some("all packets are traced".to_owned()),
        Update::Sampling { share, .. } => Some(format!("1 in {share} packets is traced")),
        Update::Attaching {
            left,
            refused,
            since_ns: None,
            ..
        } => Some(attaching(*left, *refused)),
        _ => None,
    }
}

/// So many interfaces of the start are still to be tapped, and so many cannot be.
fn attaching(left: u64, refused: u64) -> String {
    match (left, refused) {
        (0, 0) => "every interface is traced now".to_owned(),
        (0, _) => format!(
            "every interface is traced now, but {refused} that cannot be: packets pass there unseen"
        ),
        (1, _) => "1 more interface is being attached to; until then packets may pass there unseen"
            .to_owned(),
        _ => format!(
            "{left} more interfaces are being attached to; until then packets may pass there unseen"
        ),
    }
}

/// Notices on standard error: for what goes elsewhere, as a file or a table.
pub struct Notices;

impl Consumer for Notices {
    fn on_update(&mut self, _: &Origin, update: &Update, world: &World) {
        match update {
            Update::Loss(loss) => self.on_notice(&world.loss_in_words(loss)),
            // What is incomplete for it is counted as such.
            Update::Attaching { .. } => {}
            _ => {
                if let Some(words) = in_words(update) {
                    self.on_notice(&words);
                }
            }
        }
    }

    fn on_notice(&mut self, text: &str) {
        eprintln!("podtrace: {text}");
    }
}
