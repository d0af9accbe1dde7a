//! Output kept in memory, in the form that live sessions and replays share.
use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::{
    output::{printer::Printer, render::Render},
    pipeline::Pipeline,
    sink::TextSink,
};

/// Keeps what is printed.
#[derive(Clone, Default)]
pub(super) struct Page(Arc<Mutex<String>>);

impl TextSink for Page {
    fn take(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }
}

impl Page {
    pub(super) fn printer(&self, format: Box<dyn Render>) -> Box<Printer> {
        Box::new(Printer::new(format, Box::new(self.clone())))
    }

    pub(super) fn text(&self, pipeline: &mut Pipeline) -> String {
        pipeline.flush().unwrap();
        comparable(&self.0.lock().unwrap())
    }

    /// What the recording said at its end.
    pub(super) fn closing(&self) -> Option<String> {
        let text = self.0.lock().unwrap();
        let line = text
            .lines()
            .find(|line| line.contains("recorded ") && line.contains(" bytes"));
        line.map(ToOwned::to_owned)
    }
}

/// Without what only a recording says, and without taps that have seen nothing:
/// no file tells of them.
fn comparable(text: &str) -> String {
    let lines = text.split_inclusive('\n');
    let lines = lines.filter(|line| !line.contains("recorded "));
    lines.map(without_idle_taps).collect()
}

fn without_idle_taps(line: &str) -> String {
    if !line.starts_with(r#"{"type":"summary""#) {
        return line.to_owned();
    }
    let mut summary: serde_json::Value = serde_json::from_str(line).unwrap();
    let taps = summary["taps"].as_array_mut().unwrap();
    taps.retain(|tap| tap["seen"] != 0);
    format!("{summary}\n")
}
