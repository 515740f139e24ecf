//! Open files: as many as the system allows, and connections may not take those that the store needs.

use ferromq_broker::Settings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for the store, the operator's port and the system.
const KEPT: usize = 128;

/// Raises the limit of open files to what this user may have, and lets no more connections in than it leaves room for:
/// a store that can't open its next file would end the reign of this broker.
pub(crate) fn provide(settings: &mut Settings) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || (limit.current.is_some() && limit.maximum.is_none()) {
        // If it is refused, what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    let Some(files) = getrlimit(Resource::Nofile).current else { return };
    let room = room(usize::try_from(files).unwrap_or(usize::MAX));
    if room < settings.door.max_connections {
        tracing::info!(
            connections = room,
            "the limit of open files ({files}, ulimit -n) bounds the number of connections"
        );
        settings.door.max_connections = room;
    }
}

fn room(files: usize) -> usize {
    if files >= 2 * KEPT { files - KEPT } else { files / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_kept() {
        assert_eq!((room(1_024), room(256), room(64)), (896, 128, 32));
    }
}
