//! The tool `diagnose`.
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::bail;
use serde_json::Value;

use super::{
    answer::{Answer, BODY_MAX, Notices},
    play::{Notes, Request},
    source::Source,
};
use crate::{
    command::diagnose::{Recorded, recorded},
    output::diagnosis::ReportFormat,
    sink::TextSink,
};

/// Answers with the diagnosis of two ends.
pub(super) fn answer(request: &Request) -> anyhow::Result<String> {
    if let Source::Live(live) = &*request.source
        && request.given.probes()
    {
        let diagnosis = live.probe(&request.given, &request.stop)?;
        return finish(&serde_json::from_slice(&diagnosis)?, Notices::default());
    }
    let mut args = request.given.diagnosis()?;
    args.read = request.files.to_vec();
    let text = Memory::default();
    let (notes, notices) = Notes::new(request);
    let (played, conclusion) = recorded(
        &args,
        Recorded {
            stop: request.stop.clone(),
            show_progress: None,
            format: ReportFormat::Json,
            sink: Box::new(text.clone()),
            beside: vec![Box::new(notes)],
        },
    )?;
    if let Some(words) = played.missed {
        bail!(words);
    }
    // A part would not know of answers that come behind it.
    if played.is_interrupted || conclusion.is_none() {
        return Err(request.too_late());
    }
    finish(&serde_json::from_str(&text.take_all())?, notices.take())
}

fn finish(document: &Value, notices: Notices) -> anyhow::Result<String> {
    let mut answer = Answer::new();
    let bounds = (usize::MAX, BODY_MAX);
    answer.document("diagnosis", document, bounds, "give a port, and a protocol")?;
    answer.finish(notices)
}

/// Text in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<String>>);

impl Memory {
    fn take_all(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TextSink for Memory {
    fn take(&mut self, text: &str) -> io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_str(text);
        Ok(())
    }
}
