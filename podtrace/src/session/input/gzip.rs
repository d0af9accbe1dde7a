//! Decompresses gzip. Data behind damage is lost.
use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::{Damage, Source, rest};

/// The input, and how much of it was read.
struct Counted {
    source: Chain<Cursor<Vec<u8>>, Box<dyn Source>>,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(out)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// An input compressed by gzip.
pub(super) struct Gunzipped {
    decoder: MultiGzDecoder<BufReader<Counted>>,
    /// Whether it ended in the middle of the compressed data.
    is_cut: bool,
    is_broken: bool,
    damage: Vec<Damage>,
}

impl Gunzipped {
    /// `first`: bytes already taken from the source.
    pub(super) fn new(source: Box<dyn Source>, first: Vec<u8>) -> Self {
        let source = Cursor::new(first).chain(source);
        let source = Counted { source, bytes: 0 };
        Self {
            decoder: MultiGzDecoder::new(BufReader::new(source)),
            is_cut: false,
            is_broken: false,
            damage: Vec::new(),
        }
    }

    fn offset(&self) -> u64 {
        let reader = self.decoder.get_ref();
        reader.get_ref().bytes - reader.buffer().len() as u64
    }

    /// Records that the rest cannot be decompressed.
    fn break_off(&mut self) {
        self.is_broken = true;
        let offset = self.offset();
        let len = rest(self.decoder.get_mut());
        self.damage.push(Damage {
            offset,
            len,
            reason: "damaged gzip data, and all behind it",
        });
    }
}

impl Read for Gunzipped {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.is_cut || self.is_broken {
            return Ok(0);
        }
        match self.decoder.read(out) {
            // The input cannot be read.
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.is_cut = true,
            Err(_) => self.break_off(),
            read => return read,
        }
        Ok(0)
    }
}

impl Source for Gunzipped {
    fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    fn finish(&mut self) {
        if std::mem::take(&mut self.is_cut) {
            self.damage.push(Damage {
                offset: self.offset(),
                len: 0,
                reason: "cut off within gzip data",
            });
        }
    }
}
