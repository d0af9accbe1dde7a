//! References of images, as container runtimes read them.
//!
//! The grammar is that of the distribution project
//! (<https://pkg.go.dev/github.com/distribution/reference>), which Docker, containerd and Kubernetes
//! share.

/// Longest name, with its registry.
const NAME_MAX: usize = 255;
/// Longest tag.
const TAG_MAX: usize = 128;

/// What is wrong with a reference; nothing if it is one.
pub(super) fn mistake(text: &str) -> Option<String> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash stands before a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let of_name = || of_name(name);
    let of_tag = || tag.and_then(of_tag);
    let of_digest = || digest.and_then(of_digest);
    of_name().or_else(of_tag).or_else(of_digest)
}

fn of_name(name: &str) -> Option<String> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (Some(first), path),
        _ => (None, name),
    };
    if name.len() > NAME_MAX {
        return Some(format!("its name has more than {NAME_MAX} characters"));
    }
    if let Some(registry) = registry.filter(|registry| !is_host(registry)) {
        return Some(format!(
            "{registry} is no registry, as registry.example.com:5000 is one"
        ));
    }
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Some(format!("{path} has capitals, which no image's name has"));
    }
    let is_name = path.split('/').all(is_component);
    (!is_name).then(|| {
        format!(
            "'{path}' is no image's name: lower case letters and digits, with one of . _ __ or \
             hyphens between them"
        )
    })
}

/// Whether the first part of a name is that of a registry.
fn is_registry(first: &str) -> bool {
    first == "localhost"
        || first
            .chars()
            .any(|c| ".:".contains(c) || c.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_name = match bare {
        Some(address) => {
            let is_inside = |c: char| c.is_ascii_hexdigit() || c == ':';
            !address.is_empty() && address.chars().all(is_inside)
        }
        None => name.split('.').all(|part| {
            let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !part.is_empty()
                && part.chars().all(is_inside)
                && !part.starts_with('-')
                && !part.ends_with('-')
        }),
    };
    is_name && port.is_none_or(is_port)
}

/// Whether it is letters and digits with separators between them: a dot, one or two underscores, or
/// any number of hyphens.
fn is_component(part: &str) -> bool {
    let is_inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = [part.chars().next(), part.chars().next_back()];
    let mut between = part
        .split(is_inside)
        .filter(|separator| !separator.is_empty());
    let is_separator = |separator: &str| {
        matches!(separator, "." | "_" | "__") || separator.chars().all(|c| c == '-')
    };
    ends.iter().all(|end| end.is_some_and(is_inside)) && between.all(is_separator)
}

fn of_tag(tag: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_tag = tag.len() <= TAG_MAX
        && tag.starts_with(is_word)
        && tag.chars().all(|c| is_word(c) || ".-".contains(c));
    (!is_tag).then(|| {
        format!("{tag:?} is no tag: letters, digits and _ . - behind the first, {TAG_MAX} at most")
    })
}

fn of_digest(digest: &str) -> Option<String> {
    let wrong = |words: &str| Some(format!("{digest:?} is no digest: {words}"));
    let (algorithm, digits) = digest.split_once(':').unwrap_or((digest, ""));
    // Those that are registered with the OCI image specification: runtimes know no others.
    let expected = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return wrong("it begins with sha256: or sha512:"),
    };
    let is_lower = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let is_it = digits.len() == expected && digits.chars().all(is_lower);
    match is_it {
        true => None,
        false => wrong(&format!(
            "{algorithm} has {expected} hexadecimal digits in lower case"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHA: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_those_that_runtimes_read() {
        let with_digest = format!("podtrace:1@{SHA}");
        for good in [
            "podtrace",
            "podtrace:0.1.0",
            "a/b/c",
            "localhost/podtrace",
            "localhost:5000/podtrace:dev",
            "registry.example.com:5000/team/podtrace:v1_2-rc.3",
            "Registry.Example.COM/podtrace",
            "[2001:db8::1]:5000/podtrace:1",
            "10.0.0.1:5000/podtrace",
            "a-b_c__d.e---f",
            "podtrace:5000",
            "podtrace:_x",
            &with_digest,
            &format!("podtrace@{SHA}"),
            &format!("podtrace@sha512:{}", "0f".repeat(64)),
            &format!("r.example.com/{}", "a".repeat(241)),
        ] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for (bad, words) in [
            ("", "is no image's name"),
            ("Podtrace", "capitals"),
            ("team/PodTrace:1", "capitals"),
            ("https://r.example.com/podtrace", "no registry"),
            ("r.example.com:x/podtrace", "no registry"),
            ("-r.example.com/podtrace", "no registry"),
            ("r.example.com//podtrace", "is no image's name"),
            ("r.example.com/", "is no image's name"),
            ("/podtrace", "is no image's name"),
            ("podtrace/", "is no image's name"),
            ("a..b", "is no image's name"),
            ("a___b", "is no image's name"),
            ("a._b", "is no image's name"),
            (".a", "is no image's name"),
            ("a_", "is no image's name"),
            ("a b", "is no image's name"),
            ("a\n", "is no image's name"),
            ("a'", "is no image's name"),
            ("podtrace:", "no tag"),
            ("podtrace:.1", "no tag"),
            ("podtrace:-1", "no tag"),
            ("podtrace:1+2", "no tag"),
            ("podtrace:\u{fc}", "no tag"),
            (&format!("podtrace:{}", "a".repeat(129)), "no tag"),
            ("podtrace@", "no digest"),
            ("podtrace@sha256", "has 64 hexadecimal"),
            ("podtrace@sha256:0a", "has 64 hexadecimal"),
            (&format!("podtrace@{}", SHA.to_uppercase()), "no digest"),
            (&format!("podtrace@{SHA}0"), "has 64 hexadecimal"),
            (
                &format!("podtrace@{}", SHA.replace('e', "E")),
                "has 64 hexadecimal",
            ),
            (&format!("podtrace@{SHA}@{SHA}"), "has 64 hexadecimal"),
            (&format!("podtrace@1x:{}", "a".repeat(32)), "no digest"),
            (
                &format!("r.example.com/{}", "a".repeat(242)),
                "more than 255",
            ),
        ] {
            let found = mistake(bad).unwrap_or_else(|| panic!("{bad}"));
            assert!(found.contains(words), "{bad}: {found}");
        }
    }

    proptest! {
        /// What is accepted stands in YAML between quotes, and in a shell, as it is.
        #[test]
        fn references_are_plain(text in "\\PC{0,40}") {
            if mistake(&text).is_none() {
                let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@[]".contains(c);
                prop_assert!(!text.is_empty() && text.chars().all(is_plain), "{text}");
            }
        }

        #[test]
        fn what_the_grammar_makes_is_read(
            text in r"([a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?\.[a-z]{2,3}(:[0-9]{1,5})?/)?[a-z0-9]{1,5}((_|__|-{1,3})[a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,5}([._][a-z0-9]{1,3})?){0,2}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?(@sha256:[a-f0-9]{64})?"
        ) {
            prop_assert_eq!(mistake(&text), None);
        }
    }
}
