//! Sentences.
use super::{Way, half::Half};
use crate::{path::Path, verdict::Tap};

impl Way {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reply => "reply",
        }
    }

    /// What came before, in a sentence about this direction.
    pub(super) fn before(self, request: &Half) -> &'static str {
        match self {
            Self::Reply if request.delivered() > 0 => "the request arrived, ",
            Self::Reply | Self::Request => "",
        }
    }
}

/// `flannel.1 egress of worker1`
pub(super) fn place(tap: &Tap) -> String {
    let interface = &tap.place.interface;
    format!(
        "{interface} {} of {}",
        tap.direction.as_str(),
        tap.place.owner()
    )
}

/// ` after flannel.1 egress of worker1`
pub(super) fn after(tap: Option<&Tap>) -> String {
    tap.map_or_else(String::new, |tap| format!(" after {}", place(tap)))
}

/// ` (1 of 3)`, unless it is all of them.
pub(super) fn share(part: u64, all: u64) -> String {
    match part < all {
        true => format!(" ({part} of {all})"),
        false => String::new(),
    }
}

/// What address translation made of where a packet was sent to.
pub(super) fn translated(path: &Path) -> Option<String> {
    let mut translations = path.translations.iter();
    let last = translations.rfind(|one| one.is_of_destination())?;
    let end = |(address, port): (std::net::IpAddr, Option<u16>)| match port {
        Some(port) => std::net::SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    let (before, after) = (end(last.before.to()), end(last.after.to()));
    Some(format!("{before} was translated to {after}"))
}
