//! Answers that would be too long, or take too long.
use std::time::Instant;

use serde_json::json;

use super::session::{Session, capture_of, result};

const BYTES_MAX: usize = 256 << 10;

#[test]
fn long_answers_say_what_they_leave_out() {
    let (_folder, file) = capture_of(3000);
    let (mut session, _) = Session::begin(&[&file]);
    let answer = session.json("paths", json!({}));
    assert_eq!(
        (&answer["packets"], &answer["shown"]),
        (&json!(3000), &json!(100))
    );
    assert_eq!(answer["paths"].as_array().unwrap().len(), 100);
    let left_out = &answer["paths_left_out"];
    assert_eq!(
        (&left_out["rows"], &left_out["why"]),
        (&json!(2900), &json!("more than 100 rows"))
    );
    let (is_error, text) = session.call("paths", json!({"limit": 1000}));
    assert!(!is_error && text.len() <= BYTES_MAX, "{}", text.len());
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let shown = answer["shown"].as_u64().unwrap();
    assert!((100..1000).contains(&shown), "{shown}");
    assert_eq!(answer["paths_left_out"]["rows"], 3000 - shown);
    let why = answer["paths_left_out"]["why"].as_str().unwrap();
    assert!(why.contains("bytes"), "{why}");
}

#[test]
fn time_is_limited() {
    let (_folder, file) = capture_of(60_000);
    let (mut session, _) = Session::begin(&["--timeout", "1ms", &file]);
    for (tool, arguments) in [
        ("paths", json!({})),
        ("flows", json!({})),
        ("summary", json!({})),
        (
            "diagnose",
            json!({"source": "10.0.0.1", "destination": "10.0.0.2"}),
        ),
    ] {
        let begun = Instant::now();
        let (is_error, text) = session.call(tool, arguments);
        assert!(text.contains("1ms, the limit of time"), "{tool}: {text}");
        assert!(is_error || tool != "diagnose", "{text}");
        assert!(begun.elapsed().as_secs() < 20, "{tool}");
    }
    assert_eq!(session.end().code, Some(0));
}

#[test]
fn cancelled_requests_have_no_answer() {
    let (_folder, file) = capture_of(60_000);
    let (mut session, _) = Session::begin(&[&file]);
    let first = session.begin_call("summary", json!({}));
    // This one waits.
    let second = session.begin_call("summary", json!({}));
    for id in [second, first] {
        session.tell(
            "notifications/cancelled",
            json!({"requestId": id, "reason": "enough"}),
        );
    }
    assert_eq!(session.ask("ping", json!({}))["result"], json!({}));
    let answer = session.json("paths", json!({"limit": 1}));
    assert_eq!(answer["packets"], 60_000);
    let ended = session.end();
    assert_eq!(
        (ended.code, ended.rest.len()),
        (Some(0), 0),
        "{:?}",
        ended.rest
    );
}

#[test]
fn too_many_at_once_are_refused() {
    let (_folder, file) = capture_of(20_000);
    let (mut session, _) = Session::begin(&[&file]);
    let calls: Vec<_> = (0..20)
        .map(|_| session.begin_call("paths", json!({"limit": 1})))
        .collect();
    // Meanwhile it answers what takes no time.
    assert_eq!(session.ask("ping", json!({}))["result"], json!({}));
    let (mut answered, mut refused) = (0, 0);
    for id in calls {
        match result(&session.answer(id)) {
            (false, _) => answered += 1,
            (true, text) => {
                assert!(text.starts_with("8 requests wait already"), "{text}");
                refused += 1;
            }
        }
    }
    assert!(
        answered >= 9 && refused > 0,
        "{answered} answered, {refused} refused"
    );
}
