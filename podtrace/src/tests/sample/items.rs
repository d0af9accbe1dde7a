//! The items of a capture, as text that can be compared.
use super::options;
use crate::{
    session::{
        input::{Damage, InputError},
        reader::{Item, Reader, Unread},
    },
    update::Update,
};

/// The items that a reader makes of some bytes.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// All items but events, and events without their bytes.
    pub(crate) items: Vec<String>,
    /// Events with their bytes.
    pub(crate) events: Vec<String>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) unread: Unread,
}

pub(crate) fn read(bytes: &[u8]) -> Given {
    try_read(bytes).unwrap()
}

/// [`read`] of bytes that may no longer look like a capture.
pub(crate) fn try_read(bytes: &[u8]) -> Result<Given, InputError> {
    let mut given = Given::default();
    let mut reader = Reader::of(bytes.to_vec(), options())?;
    for is_over in [false, true] {
        if is_over {
            reader.finish();
        }
        while let Some(item) = reader.next_item()? {
            if let (Item::Event, Some(event)) = (&item, reader.event()) {
                given.events.push(format!("{event:?}"));
            }
            given.items.push(in_order(item));
            given.damage.extend(reader.take_damage());
        }
    }
    given.damage.extend(reader.take_damage());
    given.unread = reader.unread().clone();
    Ok(given)
}

/// An item as text; sets have no order of their own.
pub(crate) fn in_order(mut item: Item) -> String {
    let mut addresses = Vec::new();
    if let Item::Update(_, Update::Snapshot(snapshot)) = &mut item {
        addresses.extend(snapshot.addresses.drain());
        addresses.sort_by_key(|(address, _)| *address);
    }
    format!("{item:?}{addresses:?}")
}
