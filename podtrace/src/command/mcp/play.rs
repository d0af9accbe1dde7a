//! Plays recordings into an answer.
use std::{cell::RefCell, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use anyhow::{anyhow, bail};

use super::{answer::Notices, params::Given, source::Source};
use crate::{
    cli::InputArgs, command::replay::player_options, model::origin::Origin,
    output::notices::with_losses, pipeline::consumer::Consumer, replay::player::Player,
    signals::Stop, update::Update, world::World,
};

/// A call of a tool.
pub(super) struct Request {
    /// What is answered about.
    pub(super) source: Arc<Source>,
    /// The recordings of it.
    pub(super) files: Arc<[PathBuf]>,
    /// What was said while they were made.
    pub(super) said: Vec<String>,
    /// Its arguments.
    pub(super) given: Given,
    /// Ends it early.
    pub(super) stop: Stop,
    /// How long it may take.
    pub(super) timeout: Duration,
}

impl Request {
    /// What there is to know beside what the recordings tell.
    pub(super) fn notices(&self) -> Notices {
        let mut notices = Notices::default();
        self.said.iter().for_each(|words| notices.add(words));
        notices
    }

    /// Says that time was up before all was read.
    pub(super) fn partial(&self) -> String {
        format!(
            "only what was read within {:?}, the limit of time, is in this answer\n\
             hint: give until, or restart podtrace mcp with fewer files or a longer --timeout",
            self.timeout
        )
    }

    /// The error where a part would tell nothing, or something wrong.
    pub(super) fn too_late(&self) -> anyhow::Error {
        anyhow!(
            "the recordings could not be read within {:?}, the limit of time\n\
             hint: restart podtrace mcp with fewer files or a longer --timeout",
            self.timeout
        )
    }
}

/// What a replay has made.
pub(super) struct Made<T> {
    /// What it was asked for.
    pub(super) made: T,
    /// What it told beside.
    pub(super) notices: Notices,
    /// Whether the time was up before all was read.
    pub(super) is_partial: bool,
}

/// A place where a consumer leaves what it has made.
pub(super) type Place<T> = Rc<RefCell<Option<T>>>;

/// Replays what is asked for to a consumer, which is given a place for what it makes.
pub(super) fn play<T, C: Consumer + 'static>(
    request: &Request,
    mut input: InputArgs,
    consumer: impl FnOnce(Place<T>) -> C,
) -> anyhow::Result<Made<T>> {
    input.files = request.files.to_vec();
    let options = player_options(&input)?;
    let player = Player::new(&options, false, request.stop.clone())?;
    let made = Place::default();
    let (notes, notices) = Notes::new(request);
    let consumer = consumer(Rc::clone(&made));
    let played = player.run(|_| Ok(vec![Box::new(notes), Box::new(consumer)]))?;
    if let Some(words) = played.missed {
        bail!(words);
    }
    let made = made.take().ok_or_else(|| request.too_late())?;
    Ok(Made {
        made,
        notices: notices.take(),
        is_partial: played.is_interrupted,
    })
}

/// Collects notices.
pub(super) struct Notes(Rc<RefCell<Notices>>);

impl Notes {
    /// A consumer, and what it collects.
    pub(super) fn new(request: &Request) -> (Self, Rc<RefCell<Notices>>) {
        let notices = Rc::new(RefCell::new(request.notices()));
        (Self(Rc::clone(&notices)), notices)
    }
}

impl Consumer for Notes {
    fn on_update(&mut self, origin: &Origin, update: &Update, world: &World) {
        // Paths that it affects count as incomplete.
        if matches!(update, Update::Attaching { .. }) {
            return;
        }
        if let Some(words) = with_losses(origin, update, world) {
            self.on_notice(&words);
        }
    }

    fn on_notice(&mut self, words: &str) {
        self.0.borrow_mut().add(words);
    }
}
