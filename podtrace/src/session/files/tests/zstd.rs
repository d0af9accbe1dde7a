//! Compressed files, whole, cut and damaged.
use super::*;

/// A compressed file of some chunks, and the end of each in it.
fn recorded() -> (Vec<Vec<u8>>, Vec<u8>, Vec<usize>) {
    let dir = TempDir::new().unwrap();
    let mut recorder = Recorder::open(FileOptions {
        zstd: true,
        ..options(dir.path().join("a.pcapng"))
    });
    let path = dir.path().join("a.pcapng.zst");
    let chunks: Vec<Vec<u8>> = (1..=5_u8)
        .map(|i| (0..200).map(|at| i ^ (at % (3 * i))).collect())
        .collect();
    let mut ends = Vec::new();
    for chunk in &chunks {
        recorder.send(Begins::Nothing, chunk, 1);
        ends.push(fs::read(&path).unwrap().len());
    }
    (chunks, fs::read(&path).unwrap(), ends)
}

#[test]
fn a_file_cut_anywhere_has_all_whole_chunks() {
    let (chunks, file, ends) = recorded();
    let all = chunks.concat();
    for cut in 0..=file.len() {
        let mut read = Vec::new();
        let mut decoder = ::zstd::stream::read::Decoder::new(&file[..cut]).unwrap();
        let whole = decoder.read_to_end(&mut read).is_ok();
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert!(read.len() >= chunks[..expected].concat().len(), "{cut}");
        assert!(all.starts_with(&read), "{cut}");
        assert_eq!(whole, ends.contains(&cut), "{cut}");
    }
}

#[test]
fn a_damaged_frame_is_noticed_and_harms_no_other() {
    let (chunks, file, ends) = recorded();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        for ((start, end), chunk) in starts.clone().zip(&ends).zip(&chunks) {
            let decoded = ::zstd::stream::decode_all(&damaged[start..*end]);
            if (start..*end).contains(&at) {
                // A change of an unused bit may go unnoticed.
                assert!(decoded.is_err() || decoded.unwrap() == *chunk, "{at}");
            } else {
                assert_eq!(decoded.unwrap(), *chunk, "{at}");
            }
        }
    }
}
