//! The known name that a misspelt one most likely meant.

/// Names longer than this are not compared: a suggestion is a courtesy, not worth quadratic work on hostile input.
const MAX_NAME_BYTES: usize = 64;

/// The known name nearest to `name` by edits and case, if one is near enough to be worth suggesting: at most a third
/// of its letters differ. Of equally near names the first is taken.
#[must_use]
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    known
        .into_iter()
        .filter(|known| known.len() <= MAX_NAME_BYTES)
        .map(|known| (distance(&wanted, &known.to_lowercase().chars().collect::<Vec<_>>()), known))
        .filter(|(distance, known)| *distance * 3 <= known.len().max(wanted.len()).max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Edit distance in which swapping two neighbours is one edit.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, l) in left.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, r) in right.iter().enumerate() {
            let mut best =
                (last[column] + usize::from(l != r)).min(last[column + 1] + 1).min(line[column] + 1);
            let swapped = row > 0 && column > 0 && left[row - 1] == *r && right[column - 1] == *l;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            line.push(best);
        }
        before = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["maximumConnections", "backlog", "tcpNoDelay"];
        assert_eq!(nearest("maximumConections", known), Some("maximumConnections"));
        assert_eq!(nearest("MAXIMUMCONNECTIONS", known), Some("maximumConnections"));
        assert_eq!(nearest("bakclog", known), Some("backlog"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }
}
