//! [`Seal`]: where every older segment ends, stated once by each epoch.

/// The first record of an epoch's first segment. Readers ignore whatever stands in an older segment beyond the
/// end that is stated here, and whole segments that are not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// Segment id, number of its epoch, end; by id.
    pub ends: Vec<SealedEnd>,
}

/// The end of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedEnd {
    /// The segment.
    pub id: u32,
    /// The number of the epoch that wrote it.
    pub epoch: u64,
    /// Offset of the first byte that does not count.
    pub end: u32,
}

const ENTRY_BYTES: usize = 16;

impl Seal {
    /// Appends the payload of the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for SealedEnd { id, epoch, end } in &self.ends {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&end.to_le_bytes());
            out.extend_from_slice(&epoch.to_le_bytes());
        }
    }

    /// Reads the payload of the record; `None` if it is not one.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (entries, rest) = payload.as_chunks::<ENTRY_BYTES>();
        rest.is_empty().then(|| Self {
            ends: entries
                .iter()
                .map(|entry| {
                    let [i0, i1, i2, i3, n0, n1, n2, n3, epoch @ ..] = *entry;
                    SealedEnd {
                        id: u32::from_le_bytes([i0, i1, i2, i3]),
                        end: u32::from_le_bytes([n0, n1, n2, n3]),
                        epoch: u64::from_le_bytes(epoch),
                    }
                })
                .collect(),
        })
    }

    /// The end of segment `id`, if it is named.
    pub fn end_of(&self, id: u32) -> Option<SealedEnd> {
        self.ends.iter().find(|entry| entry.id == id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_reads_back_as_it_was_written() {
        let seal = Seal {
            ends: vec![
                SealedEnd { id: 1, epoch: 1, end: 64 },
                SealedEnd { id: 9, epoch: u64::MAX, end: u32::MAX },
            ],
        };
        let mut bytes = Vec::new();
        seal.encode(&mut bytes);
        assert_eq!(Seal::decode(&bytes), Some(seal));
        assert_eq!(Seal::decode(&bytes[1..]), None);
    }
}
