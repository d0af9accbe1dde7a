//! What is written next: paths that no other holds back, and what is known of their hops.
use crate::{
    lake::{Making, Rows},
    map::Map,
    output::render::Render,
    path::Path,
    world::World,
};

/// Bytes of text that are written before it is time to.
const BYTES: usize = 8 << 20;

/// A hop: the number of its session, and its own there.
pub(super) type HopId = (usize, u64);

/// As what paths are written.
pub(super) enum Form {
    Text(Box<dyn Render>),
    /// Into a lake: what tells its packets from those of others, and the pool.
    Rows {
        session: String,
        pool: String,
    },
}

/// A path, apart from what it was made of.
pub(super) enum Shown {
    Text(String),
    Rows(Rows),
}

/// Paths that are written together.
#[derive(Default)]
pub(super) struct Cut {
    pub(super) text: String,
    pub(super) files: Option<Making>,
    pub(super) paths: u64,
    /// The hops, and whether they are in a path that is shown.
    pub(super) done: Map<HopId, bool>,
}

impl Form {
    pub(super) fn show(&mut self, path: &Path, world: &World) -> Shown {
        match self {
            Self::Text(format) => {
                let mut text = String::new();
                format.path(&mut text, path, world);
                Shown::Text(text)
            }
            Self::Rows { .. } => Shown::Rows(Rows::of(path, world)),
        }
    }

    /// Nothing yet.
    pub(super) fn begin(&self) -> Cut {
        let files = match self {
            Self::Text(_) => None,
            Self::Rows { session, pool } => Some(Making::new(session.clone(), pool.clone())),
        };
        Cut {
            files,
            ..Cut::default()
        }
    }
}

impl Cut {
    /// Whether it is time to write it.
    pub(super) fn is_full(&self) -> bool {
        self.text.len() >= BYTES || self.files.as_ref().is_some_and(Making::is_full)
    }

    /// Adds a path; none if another bucket shows it.
    pub(super) fn add(&mut self, shown: Option<Shown>, hops: Vec<HopId>) -> anyhow::Result<()> {
        for hop in hops {
            *self.done.entry(hop).or_insert(false) |= shown.is_some();
        }
        let Some(shown) = shown else {
            return Ok(());
        };
        self.paths += 1;
        match (shown, &mut self.files) {
            (Shown::Text(text), _) => self.text.push_str(&text),
            (Shown::Rows(rows), Some(files)) => files.push(&rows)?,
            (Shown::Rows(_), None) => {}
        }
        Ok(())
    }
}
