use std::{cell::RefCell, io, path::Path, rc::Rc};

use super::*;
use crate::{path::summary::Summary, world::World};

/// A consumer that cannot write its buffer.
struct Full;

impl Consumer for Full {
    fn flush(&mut self) -> io::Result<()> {
        Err(io::Error::other("full"))
    }
}

/// A consumer that records its end.
struct EndLog(Rc<RefCell<Vec<&'static str>>>);

impl Consumer for EndLog {
    fn on_end(&mut self, _: &Summary, _: &World) -> Vec<String> {
        self.0.borrow_mut().push("end");
        Vec::new()
    }

    fn close(&mut self) -> io::Result<()> {
        self.0.borrow_mut().push("close");
        Ok(())
    }
}

#[test]
fn failing_consumer_lets_the_others_end_in_order() {
    let options = PlayerOptions {
        files: vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs/worker1.pcapng")],
        ..PlayerOptions::default()
    };
    let mut player = Player::new(&options, false, Stop::default()).unwrap();
    player.speed = Some(100.0);
    let calls = Rc::default();
    let noting = EndLog(Rc::clone(&calls));
    let played = player.run(|_| Ok(vec![Box::new(Full), Box::new(noting)]));
    assert_eq!(played.unwrap_err().to_string(), "full");
    assert_eq!(*calls.borrow(), ["end", "close"]);
}
