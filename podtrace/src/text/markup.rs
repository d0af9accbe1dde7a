//! Texts that are text in HTML, SVG and XML, whatever they hold.
use std::fmt::{self, Display, Write as _};

/// A text in an element or an attribute in double quotes.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c if !is_xml(c) => f.write_char(char::REPLACEMENT_CHARACTER)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Whether XML 1.0 has a character (section 2.2): a document with another one is refused as a whole.
fn is_xml(c: char) -> bool {
    !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// JSON that cannot end the element that it is in: these characters stand in its strings alone.
pub(crate) fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_is_text() {
        let hostile = r#"</script><img src=x onerror="alert(1)">&"#;
        assert_eq!(
            Escaped(hostile).to_string(),
            "&lt;/script&gt;&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&amp;"
        );
    }

    #[test]
    fn what_xml_lacks_is_replaced() {
        let text = "a\0b\x1bc\u{fffe}d\te\u{10ffff}";
        let shown = Escaped(text).to_string();
        assert_eq!(shown, "a\u{fffd}b\u{fffd}c\u{fffd}d\te\u{10ffff}");
    }

    proptest! {
        #[test]
        fn inert_json_is_the_same_json(text in any::<String>()) {
            let json = inert(&serde_json::to_string(&text).unwrap());
            prop_assert!(!json.contains(['<', '>', '&']), "{}", json);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
