//! Which default an error is about.
use super::Setting;

/// The place of the default that an error names, by its option or by its value.
pub(in crate::cli) fn origin<'a>(defaults: &'a [Setting], error: &str) -> Option<&'a str> {
    // A hint may name any option.
    let error = error.split("\nhint: ").next().unwrap_or_default();
    let by_name = |setting: &&Setting| mentions(error, &format!("--{}", setting.key));
    let by_value = |setting: &&Setting| {
        let mut values = values(setting);
        values.any(|value| mentions(error, value))
    };
    let mut all = defaults.iter();
    let found = all.find(by_name).or_else(|| defaults.iter().find(by_value));
    found.map(|setting| setting.place.as_str())
}

/// The values of a setting that are not the mere words of an option, nor numbers.
fn values(setting: &Setting) -> impl Iterator<Item = &str> {
    let words = setting.words.iter().map(String::as_str);
    let values = words.filter_map(|word| match word.strip_prefix("--") {
        Some(option) => option.split_once('=').map(|(_, value)| value),
        None => Some(word),
    });
    values.filter(|value| value.chars().any(char::is_alphabetic))
}

/// Whether a text has a word, with nothing around it that could belong to it.
fn mentions(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "-_/".contains(c);
    let mut found = text.match_indices(word);
    !word.is_empty()
        && found.any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            !before.ends_with(is_part) && !after.starts_with(is_part)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::config::settings;

    #[test]
    fn error_is_about_the_default_that_it_names() {
        let file = "[all]\ninterface = [\"cni0\", \"nosuch\"]\nstrict = true\n\n[record]\n\
                    write = \"/tmp/x.pcapng\"\nrotate-size = \"1MB\"\n";
        let defaults = settings("f", file).unwrap();
        for (error, expected) in [
            (
                "no interface is called nosuch",
                Some("f, line 2: [all] interface"),
            ),
            ("no interface is called nosuch2", None),
            (
                "/tmp/x.pcapng exists already: --force replaces it",
                Some("f, line 6: [record] write"),
            ),
            (
                "--write x is a directory",
                Some("f, line 6: [record] write"),
            ),
            (
                "--rotate-size is too small",
                Some("f, line 7: [record] rotate-size"),
            ),
            ("--rotate is too small", None),
            ("no pod web\nhint: --interface nosuch", None),
        ] {
            assert_eq!(origin(&defaults, error), expected, "{error}");
        }
    }
}
