//! The mark in a claim: a page that nobody writes but who has made a higher one.

use ferromq_env::DiskFile;
use ferromq_model::{ClaimId, Epoch};

/// Where in a claim the mark stands: in a page of its own, so that no cache carries anything else there. The page is part
/// of the file from the beginning, since a length may be cached too.
const MARK_AT: u64 = 4096;
pub(super) const CLAIM_BYTES: u64 = 2 * MARK_AT;

/// Any byte of these that is not zero is a mark. A sector, which is written whole or not at all.
const MARK_BYTES: usize = 512;
const MARK: &[u8; 8] = b"FMQMARK\0";

/// Who marked a claim, if somebody did.
pub(super) fn read(file: &dyn DiskFile, coherent: bool) -> std::io::Result<Option<Epoch>> {
    let mut mark = [0; MARK_BYTES];
    let got =
        if coherent { file.read_at(&mut mark, MARK_AT)? } else { file.read_past_cache(&mut mark, MARK_AT)? };
    // Of a version that does not mark, and not long enough.
    if mark.iter().take(got).all(|byte| *byte == 0) {
        return Ok(None);
    }
    let word = |at: usize| {
        let mut word = [0; 8];
        word.iter_mut().zip(mark.iter().skip(at)).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(word)
    };
    Ok(Some(Epoch { number: word(8), claim: ClaimId(word(16)) }))
}

/// Says that `by` is higher; not synced.
pub(super) fn write(file: &dyn DiskFile, by: Epoch) -> std::io::Result<()> {
    let mut mark = [0; MARK_BYTES];
    let words = [*MARK, by.number.to_le_bytes(), by.claim.0.to_le_bytes()];
    mark.iter_mut().zip(words.as_flattened()).for_each(|(to, from)| *to = *from);
    file.write_at(&mark, MARK_AT)
}
