//! Hands chunks to the files.
use std::time::Instant;

use super::{CHUNK_BYTES, PATIENCE, ROOM_BYTES, Recorder, WAITING_MAX};
use crate::{session::files::Chunk, world::World};

impl Recorder {
    pub(super) fn hand_on_full(&mut self, world: &World) {
        if self.chunk.bytes.len() >= CHUNK_BYTES {
            self.hand_on(world);
        }
    }

    /// Hands the chunk on, or keeps it until there is room.
    pub(super) fn hand_on(&mut self, world: &World) {
        self.flushed_ns = self.now_ns;
        if self.chunk.bytes.is_empty() || self.files.is_none() {
            return;
        }
        self.close_head(world);
        let Some(files) = &self.files else {
            return;
        };
        let mut next = Chunk {
            bytes: files.buffer(),
            ..Chunk::default()
        };
        // Reserves room for the packet that fills it: growing would double the buffer.
        next.bytes.reserve(CHUNK_BYTES + ROOM_BYTES);
        let chunk = self.take_chunk(next);
        self.file_bytes += chunk.bytes.len() as u64;
        self.waiting_bytes += chunk.bytes.len();
        self.waiting.push_back(chunk);
        self.send_waiting();
        if self.is_patient && !self.waiting.is_empty() {
            self.wait_for_room(Instant::now() + PATIENCE);
        }
        if self.waiting_bytes > 2 * WAITING_MAX {
            self.break_off();
            self.is_behind = true;
        }
    }

    /// Takes the chunk with its events counted, and replaces it by `next`.
    pub(super) fn take_chunk(&mut self, next: Chunk) -> Chunk {
        let mut chunk = std::mem::replace(&mut self.chunk, next);
        self.counts.take_events(&mut chunk.events);
        chunk
    }

    pub(super) fn send_waiting(&mut self) {
        let Some(files) = &self.files else {
            return;
        };
        while let Some(chunk) = self.waiting.pop_front() {
            let len = chunk.bytes.len();
            if let Err(chunk) = files.try_send(chunk) {
                self.waiting.push_front(chunk);
                return;
            }
            self.waiting_bytes -= len;
        }
    }
}
