use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Takes one piece for each turn it is given.
struct Slow {
    turns: Receiver<()>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Write for Slow {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.turns
            .recv()
            .map_err(|_gone| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.written.lock().unwrap().extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slow() -> (Sink, Sender<()>, Arc<Mutex<Vec<u8>>>) {
    let (turn, turns) = channel();
    let written = Arc::<Mutex<Vec<u8>>>::default();
    let slow = Slow {
        turns,
        written: Arc::clone(&written),
    };
    (Sink::spawn(slow, false).unwrap(), turn, written)
}

/// Messages break at words; what stands below each other stays.
#[test]
fn messages_fit_the_terminal() {
    let text = "an address has four numbers\n  icmp and host 300.1.1.1 and more\n           ^^^^\n\
                hint: name it by four numbers";
    assert_eq!(told(text, None), format!("podtrace: {text}\n"));
    assert_eq!(
        told(text, Some(26)),
        "podtrace: an address has\n  four numbers\n  icmp and host 300.1.1.1 and more\n           ^^^^\n\
         hint: name it by four\n  numbers\n"
    );
}

#[test]
fn live_text_is_taken_without_waiting_and_the_room_is_known() {
    let (mut sink, turn, written) = slow();
    let mut handle = sink.handle();
    assert_eq!(handle.room(), LIVE_MAX);
    let text = "x".repeat(LIVE_MAX / 2);
    handle.take(&text).unwrap();
    assert_eq!(handle.room(), LIVE_MAX / 2);
    // The summary is taken even without room.
    handle.take(&text).unwrap();
    handle.take("end").unwrap();
    assert_eq!(handle.room(), 0);
    for _ in 0..=LIVE_MAX / PIECE_BYTES {
        turn.send(()).unwrap();
    }
    sink.finish().unwrap();
    assert_eq!(sink.waiting(), 0);
    let written = written.lock().unwrap();
    assert_eq!(written.len(), LIVE_MAX + 3);
    assert!(written.ends_with(b"xend"));
}

#[test]
fn missing_reader_ends_the_sink_with_the_reason() {
    let (mut sink, turn, _) = slow();
    let mut handle = sink.handle();
    drop(turn);
    handle.take("a").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    runtime.block_on(sink.finished());
    handle.take("b").unwrap();
    let error = sink.finish().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let error = sink.write(b"c").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn waiting_writer_gets_room() {
    let (mut sink, turn, written) = slow();
    let text = vec![b'x'; WAITING_MAX];
    sink.write_all(&text).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| sink.write_all(b"more"));
        for _ in 0..=WAITING_MAX / PIECE_BYTES {
            turn.send(()).unwrap();
        }
        waits.join().unwrap().unwrap();
    });
    sink.finish().unwrap();
    assert_eq!(written.lock().unwrap().len(), WAITING_MAX + 4);
}
