//! What somebody who wrote an unknown name may have meant.

/// The one of `words` that is most like `word`, if at most a third of its
/// letters are others, absent or swapped.
#[must_use]
pub fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    words
        .into_iter()
        // The name breaks ties, so that the answer doesn't depend on order.
        .map(|known| (strsim::osa_distance(word, known), known))
        .min()
        .filter(|(edits, known)| edits * 3 <= word.len().max(known.len()))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        assert_eq!(nearest("debain", ["kernel.org", "debian"]), Some("debian"));
        assert_eq!(nearest("kernel", ["debian"]), None);
        assert_eq!(nearest("ab", ["aa", "bb"]), None);
        assert_eq!(nearest("abc", ["abe", "abd"]), Some("abd"), "whatever the order");
        assert_eq!(nearest("", [""; 0]), None);
    }
}
