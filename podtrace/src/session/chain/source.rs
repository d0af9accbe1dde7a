//! A file being read: on this thread, or ahead on another.
use std::path::Path;

use crate::{
    model::event::Event,
    session::{
        input::{Damage, InputError},
        reader::{Ahead, Item, Reader, Unread},
    },
};

pub(super) enum Source {
    InStep(Box<Reader>),
    Ahead(Ahead),
}

impl Source {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::InStep(reader) => reader.path(),
            Self::Ahead(ahead) => ahead.path(),
        }
    }

    pub(super) fn event(&mut self) -> Option<&mut Event> {
        match self {
            Self::InStep(reader) => reader.event(),
            Self::Ahead(ahead) => ahead.event(),
        }
    }

    pub(super) fn next_item(&mut self) -> Result<Option<Item>, InputError> {
        match self {
            Self::InStep(reader) => reader.next_item(),
            Self::Ahead(ahead) => ahead.next_item(),
        }
    }

    /// Records that the file no longer grows.
    pub(super) fn finish(&mut self) {
        if let Self::InStep(reader) = self {
            reader.finish();
        }
    }

    pub(super) fn take_damage(&mut self) -> Vec<Damage> {
        match self {
            Self::InStep(reader) => reader.take_damage(),
            Self::Ahead(ahead) => ahead.take_damage(),
        }
    }

    /// Blocks that gave no item.
    pub(super) fn unread(&self) -> &Unread {
        match self {
            Self::InStep(reader) => reader.unread(),
            Self::Ahead(ahead) => ahead.unread(),
        }
    }
}
