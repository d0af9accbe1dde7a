//! What is said of wrong expressions.
use super::Expression;

/// Each with the part of it that is marked, and a word of what is expected there.
#[test]
fn mistakes_are_marked() {
    for (text, marked, expected) in [
        ("foo", Some("foo"), "a term"),
        ("icmp and", Some(""), "a term"),
        ("tcp or ", Some(""), "a term"),
        ("host", Some(""), "an address"),
        ("host and icmp", Some("and"), "an address"),
        ("tcp foo 80", Some("foo"), "and, or"),
        ("tcp prot 80 and icmp", Some("prot"), "proto"),
        ("tcp port", Some(""), "a number"),
        ("icmp)", Some(")"), "and, or"),
        ("(icmp", Some(""), ")"),
        ("() icmp", Some(")"), "a term"),
        ("port 80 81", Some("81"), "and, or"),
        ("tcp[tcpflags] & tcp-foo != 0", Some("tcp-foo"), "a number"),
        ("ip[0", Some(""), "]"),
        ("tcp[", Some(""), "a number"),
        ("ip[0] & = 3", Some("="), "a number"),
        ("tcp[13]", Some(""), "a comparison"),
        ("icmp and @", Some("@"), "a term"),
        ("tcp dst port 80 or ( udp and port 53", Some(""), ")"),
        ("tcp port 99999 and icmp", Some("99999"), ""),
        ("icmp or tcp port blah", Some("blah"), ""),
        ("net 10.0.0.0/33 or icmp", Some("33"), ""),
        ("net 10.0.0.1/8", Some("10.0.0.1/8"), ""),
        ("host 300.1.1.1 or icmp", Some("300.1.1.1"), ""),
        ("icmp port 5", Some("port"), ""),
        ("ip6 host 1.2.3.4", Some("ip6"), ""),
        ("icmp and vlan 5000", Some("5000"), ""),
        ("icmp and ip proto blah", Some("blah"), ""),
        ("icmp and ifindex 3", Some("ifindex"), ""),
        ("tcp and udp", None, ""),
        ("icmp or ip broadcast", Some("ip broadcast"), ""),
    ] {
        let mistake = Expression::compile(text).unwrap_err();
        let place = mistake.place();
        let found = place.clone().map(|place| &text[place]);
        assert_eq!(found, marked, "{text}: {mistake}");
        let names = mistake.expected().join("; ");
        assert!(names.contains(expected), "{text}: {mistake}");
        if marked == Some("") {
            assert_eq!(place.unwrap().start, text.trim_end().len(), "{text}");
        }
    }
}

#[test]
fn mistake_is_shown_with_a_caret() {
    let mistake = Expression::compile("icmp and hots 10.0.0.1").unwrap_err();
    insta::assert_snapshot!(mistake.to_string());
}

#[test]
fn caret_stands_below_wide_characters() {
    let mistake = Expression::compile("icmp and \u{4e2d}\u{6587}").unwrap_err();
    let shown = mistake.to_string();
    assert_eq!(shown.matches('^').count(), 4, "{shown}");
}

/// An expression of so many bytes at least.
fn long(bytes: usize) -> String {
    let mut text = String::from("host 10.0.0.0");
    for n in 1.. {
        if text.len() >= bytes {
            break;
        }
        text += &format!(" or host 10.0.{}.{}", n / 256, n % 256);
    }
    text
}

/// One that is too long is refused in a few words, with what to do.
#[test]
fn long_expression_is_refused_in_a_few_words() {
    for bytes in [super::super::TEXT_MAX + 1, 1_000_000] {
        let mistake = Expression::compile(&long(bytes)).unwrap_err().to_string();
        assert!(
            mistake.starts_with("the expression is too long: ")
                && mistake.contains(" bytes, at most 8192: name networks")
                && mistake.len() < 600,
            "{mistake}"
        );
    }
    let deep = format!("{}icmp", "(".repeat(12_000));
    let mistake = Expression::compile(&deep).unwrap_err().to_string();
    assert!(mistake.len() < 600, "{mistake}");
}

/// Of a long one, what is around the mistake is shown.
#[test]
fn place_in_a_long_expression_is_shown() {
    let [before, behind] = ["icmp or ", " or icmp"].map(|part| part.repeat(60));
    let mistake = Expression::compile(&format!("{before}hots{behind}")).unwrap_err();
    let shown = mistake.to_string();
    let lines: Vec<_> = shown.lines().collect();
    let [_, text, carets, ..] = lines[..] else {
        panic!("{shown}");
    };
    assert!(text.starts_with("  …") && text.ends_with('…'), "{shown}");
    let before = text.split_once("hots").unwrap().0.chars().count();
    assert_eq!(carets.trim_end(), format!("{}^^^^", " ".repeat(before)));
    assert!(text.chars().count() < 250, "{shown}");
}

#[test]
fn control_characters_are_escaped() {
    let mistake = Expression::compile("icmp \u{1b}[31m").unwrap_err();
    let shown = mistake.to_string();
    assert!(!shown.contains('\u{1b}'), "{shown}");
}
