use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use super::*;
use crate::agent::{
    consoles::{Consoles, Local},
    journal::Journal,
    peer::Who,
};

const FILE: &str = "
# Whom it is about, and what they may.
[[console]]
name = [\"ops@example.com\", \"spiffe://cluster/ns/ops/*\"]
payload = true
probe = true
max-traces = 2
max-duration = \"1h30m\"
expression = \"net 10.244.0.0/16\"

[[console]]
name = \"*.guest.example.com\"
allow = false

[[console]]
name = \"*.example.com\"

[[console]]
uid = [0, 1000]

[[console]]
user = \"alice\"
";

fn certificate(names: &[&str]) -> Who {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    Who::Certificate(names.into())
}

#[test]
fn first_table_that_fits_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("consoles.toml");
    fs::write(&path, FILE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let consoles = Consoles::new(Some(&path), Local::default()).unwrap();
    let journal = Arc::new(Journal::new(false));
    let rights = |who: &Who| consoles.rights(who, &journal);
    let all = Rights {
        payload: true,
        probe: true,
        traces_max: Some(2),
        duration_max: Some(Duration::from_secs(5400)),
        expression: Some("net 10.244.0.0/16".to_owned()),
    };
    assert_eq!(
        rights(&certificate(&["ops@example.com"])),
        Some(all.clone())
    );
    let spiffe = certificate(&["web.example.com", "spiffe://cluster/ns/ops/sa/x"]);
    assert_eq!(rights(&spiffe), Some(all));
    assert_eq!(rights(&certificate(&["a.guest.example.com"])), None);
    assert_eq!(
        rights(&certificate(&["web.example.com"])),
        Some(Rights::default())
    );
    for nobody in [&["example.com"][..], &["*"], &["user 0"], &["alice"], &[]] {
        assert_eq!(rights(&certificate(nobody)), None, "{nobody:?}");
    }
    assert_eq!(rights(&Who::Uid(1000)), Some(Rights::default()));
    assert_eq!(rights(&Who::Uid(1)), None);
    assert_eq!(
        rights(&Who::Login("alice".to_owned())),
        Some(Rights::default())
    );
    assert_eq!(rights(&Who::Login("0".to_owned())), None);
    // It is read again; what is wrong changes nothing.
    fs::write(&path, "[[console]]\nuid = 1\n").unwrap();
    assert_eq!(rights(&Who::Uid(1)), Some(Rights::default()));
    fs::write(&path, "[[console]]\nuid = -1\n").unwrap();
    assert_eq!(rights(&Who::Uid(1)), Some(Rights::default()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = Consoles::new(Some(&path), Local::default())
        .map(|_| ())
        .unwrap_err();
    assert!(refused.to_string().contains("chmod go-w"), "{refused}");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let error = |text: &str| parse("c.toml", text).unwrap_err();
    for (text, words) in [
        ("", "c.toml has no [[console]]"),
        ("\nx = 1\n", "c.toml, line 2: x is no [[console]]"),
        (
            "[console]\nuid = 0\n",
            "c.toml, line 1: console is no [[console]]",
        ),
        (
            "[[console]]\npayload = true\n",
            "c.toml, line 1: a [[console]] takes one of name",
        ),
        (
            "[[console]]\nuid = 0\nname = \"a\"\n",
            "c.toml, line 1: a [[console]] takes one",
        ),
        (
            "[[console]]\nuid = 0\n[[console]]\nuid = \"a\"\n",
            "c.toml, line 4: uid: must be",
        ),
        (
            "[[console]]\nname = []\n",
            "c.toml, line 2: name: must be a text",
        ),
        (
            "[[console]]\nname = \"\"\n",
            "c.toml, line 2: name: must be a text",
        ),
        (
            "[[console]]\nuid = 0\nmax-trace = 1\n",
            "line 3: max-trace: no such key",
        ),
        (
            "[[console]]\nuid = 0\nmax-traces = 0\n",
            "line 3: max-traces: must be a whole number",
        ),
        (
            "[[console]]\nuid = 0\nmax-duration = 5\n",
            "line 3: max-duration: must be a time",
        ),
        (
            "[[console]]\nuid = 0\nmax-duration = \"-1s\"\n",
            "max-duration: must be a time",
        ),
        (
            "[[console]]\nuid = 0\npayload = 1\n",
            "line 3: payload: must be true or false",
        ),
        (
            "[[console]]\nuid = 0\nprobe = \"yes\"\n",
            "line 3: probe: must be true or false",
        ),
        (
            "[[console]]\nuid = 0\nexpression = \"tcp and\"\n",
            "line 3: expression: ",
        ),
        (
            "[[console]]\nuid = 0\nexpression = \"not port 22\"\n",
            "says what may be seen",
        ),
        (
            "[[console]]\nuid = 0\nexpression = \"tcp[0] != 5\"\n",
            "says what may be seen",
        ),
        (
            "[[console]]\nuid = 0\nallow = false\npayload = true\n",
            "line 1: allow = false",
        ),
        ("[[console]]\nuid = 0\nuid = 1\n", "line 3"),
        ("[[console\n", "line 1"),
        ("[[console]]\nuid.x = 0\n", "line 2: uid: must be a value"),
    ] {
        let found = error(text);
        assert!(found.contains(words), "{text}: {found}");
        assert!(found.starts_with("c.toml"), "{found}");
    }
}

#[test]
fn any_text_is_read_or_refused() {
    for end in 0..FILE.len() {
        let _ = parse("c.toml", &FILE[..end]);
    }
    assert!(
        parse("c.toml", "[[console]]\nname = \"\\u001b\"\n\"\\u001b\" = 1")
            .is_err_and(|error| !error.contains('\x1b'))
    );
}
