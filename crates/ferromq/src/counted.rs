//! Numbers of things, as people read them.

/// `1 segment`, `2 segments`; for words that take an s.
pub(crate) fn counted(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{ending}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular_and_none_is_not() {
        let told: Vec<String> = [0_u32, 1, 2].into_iter().map(|number| counted(number, "segment")).collect();
        assert_eq!(told, ["0 segments", "1 segment", "2 segments"]);
    }
}
