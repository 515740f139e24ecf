//! A journal that somebody wrote into: whatever the bytes, reading it ends, goes forward, and panics never.
//!
//! Input: edits of a good journal of a few segments. Each is a byte for the segment, two for the offset, one for the
//! number of bytes (up to 63; bit 6 cuts the file there, bit 7 removes it), and those bytes.

#![no_main]

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ferromq_env::simulated::SimDisk;
use ferromq_env::{Disk, OpenMode};
use ferromq_journal::{History, Item, Kind, Writer, WriterOptions};
use ferromq_model::{ClaimId, Epoch};
use libfuzzer_sys::fuzz_target;

const FOLDER: &str = "/journal";

/// Two epochs with some segments each; the last batch is not synced.
fn good() -> SimDisk {
    static GOOD: OnceLock<SimDisk> = OnceLock::new();
    GOOD.get_or_init(|| write().expect("a disk without faults")).fork()
}

fn write() -> Result<SimDisk, Box<dyn std::error::Error>> {
    let disk = SimDisk::new();
    let folder = Path::new(FOLDER);
    disk.create_dir_all(folder)?;
    for number in 1..=2 {
        let mut history = History::survey(&disk, folder)?;
        history.settle(&disk)?;
        let options = WriterOptions { segment_bytes: 2048, zero_ahead_bytes: 256, ..WriterOptions::default() };
        let epoch = Epoch { number, claim: ClaimId(number) };
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut writer =
            Writer::create(shared, folder.into(), epoch, history.next_id, &history.seal(), options)?;
        for ticket in 1..=20u64 {
            writer.begin(ticket);
            for part in 0..=ticket % 3 {
                let payload = [ticket as u8; 150];
                writer.record(Kind(16), part == ticket % 3, |out| {
                    out.extend_from_slice(&payload[..(ticket * 7 + part) as usize % 150]);
                })?;
            }
            writer.flush()?;
            if ticket < 20 {
                writer.sync()?;
            }
        }
    }
    Ok(disk)
}

fn edit(disk: &SimDisk, files: &[PathBuf], mut script: &[u8]) {
    while let [segment, low, high, count, rest @ ..] = script {
        let Some(path) = files.get(usize::from(*segment) % files.len().max(1)) else { return };
        let offset = u64::from(u16::from_le_bytes([*low, *high]) % 2304);
        let (bytes, more) = rest.split_at(usize::from(count & 63).min(rest.len()));
        script = more;
        if count & 128 != 0 {
            let _ = disk.remove(path);
        } else if let Ok(file) = disk.open(path, OpenMode::Write) {
            let _ = if count & 64 != 0 { file.set_len(offset) } else { file.write_at(bytes, offset) };
        }
    }
}

fuzz_target!(|script: &[u8]| {
    let disk = good();
    let files = disk.list(Path::new(FOLDER)).expect("it is there");
    edit(&disk, &files, script);
    let Ok(mut history) = History::survey(&disk, Path::new(FOLDER)) else { return };
    if history.settle(&disk).is_err() {
        return;
    }
    for segment in &history.segments {
        let Ok(mut scan) = segment.scan(&disk, 0) else { continue };
        let mut last = scan.position();
        loop {
            match scan.next() {
                Ok(Item::End { .. }) | Err(_) => break,
                Ok(Item::Record { payload, .. }) => assert!(payload.len() < 1 << 16, "more than there is"),
                Ok(Item::Damage(damage)) => assert!(damage.to > damage.from.offset),
            }
            assert!(scan.position() > last, "a scan goes forward");
            last = scan.position();
        }
    }
    let _ = history.seal();
    let _ = history.end();
});
