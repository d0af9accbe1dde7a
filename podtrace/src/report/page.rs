//! The page: its frame, its style and its script, and what they show.
use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::text::markup::{Escaped, inert};

/// The frame, with a name in braces where something comes.
const FRAME: &str = include_str!("page/frame.html");
const STYLE: &str = concat!(
    include_str!("../output/topology/picture/style.css"),
    include_str!("page/style.css"),
    include_str!("page/parts.css")
);
const SCRIPT: &str = concat!(
    include_str!("page/base.js"),
    include_str!("page/summary.js"),
    include_str!("page/flows.js"),
    include_str!("page/latency.js"),
    include_str!("page/road.js"),
    include_str!("page/paths.js"),
    include_str!("page/main.js"),
);

/// Writes a page. `title`: of whom it is; `picture`: as SVG; `data`: what the script shows.
pub(super) fn write(
    out: &mut dyn Write,
    title: &str,
    picture: &str,
    data: &impl Serialize,
) -> io::Result<()> {
    let data = inert(&serde_json::to_string(data)?);
    for (number, part) in FRAME.split(['{', '}']).enumerate() {
        let text = match (number % 2, part) {
            (0, part) => part.into(),
            (_, "policy") => policy(),
            (_, "title") => Escaped(title).to_string(),
            (_, "style") => STYLE.into(),
            (_, "picture") => picture.into(),
            (_, "data") => data.as_str().into(),
            (_, _) => SCRIPT.to_owned(),
        };
        out.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// What the page may do: run this script, and use this style.
fn policy() -> String {
    let hash = |text: &str| base64(&Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | usize::from(three.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * at) & 63];
            out.push(if at > three.len() { '=' } else { digit.into() });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::topology::picture::document::COLORS;

    /// The picture looks the same in a page and as a file.
    #[test]
    fn colours_of_the_picture_are_those_of_the_page() {
        let (light, dark) = STYLE.split_once("@media").unwrap();
        for (name, in_light, in_dark) in COLORS {
            assert!(light.contains(&format!("--{name}: {in_light};")), "{name}");
            assert!(dark.contains(&format!("--{name}: {in_dark};")), "{name}");
        }
    }
}
