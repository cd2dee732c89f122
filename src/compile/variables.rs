//! Make variables as lists of words that several sides add to.

use std::collections::BTreeMap;

/// Variables by name; the words of one are joined with blanks.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Variables(BTreeMap<String, Vec<String>>);

impl Variables {
    /// Gives a variable its first words; without any it is passed empty.
    pub(super) fn set(&mut self, name: &str, words: impl IntoIterator<Item = impl Into<String>>) {
        self.0.insert(name.to_owned(), words.into_iter().map(Into::into).collect());
    }

    /// Gives a variable its first word, unless it has one.
    pub(super) fn ensure(&mut self, name: &str, word: &str) {
        self.0.entry(name.to_owned()).or_insert_with(|| vec![word.to_owned()]);
    }

    /// Adds words to a variable. A run of words that it has already is not
    /// added again: two fixes may ask for the same.
    pub(super) fn append(&mut self, name: &str, words: &[String]) {
        let present = self.0.entry(name.to_owned()).or_default();
        let known = !words.is_empty() && present.windows(words.len()).any(|run| run == words);
        if !known {
            present.extend_from_slice(words);
        }
    }

    /// Name and value, sorted by name.
    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0.into_iter().map(|(name, words)| (name, words.join(" "))).collect()
    }
}

/// The time of the build as `date` would print it in the C locale. The
/// kernel shows it in `uname -v` as it is, and gives it to `date -d`.
pub(super) fn timestamp(epoch: u64) -> String {
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%a %b %e %H:%M:%S UTC %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn words_of_several_sides_add_up_and_the_same_ones_count_once() {
        let mut variables = Variables::default();
        variables.set("HOSTCC", ["gcc"]);
        variables.set("LOCALVERSION", std::iter::empty::<String>());
        for more in ["-fcommon", "-Wno-use-after-free", "-fcommon"] {
            variables.append("HOSTCC", &words(more));
        }
        variables.append("LD", &words("-z now"));
        variables.append("LD", &words("-z max-page-size=0x200000"));
        let expected = [
            ("HOSTCC", "gcc -fcommon -Wno-use-after-free"),
            ("LD", "-z now -z max-page-size=0x200000"),
            ("LOCALVERSION", ""),
        ];
        let pairs = variables.into_pairs();
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn the_time_is_what_date_prints() {
        assert_eq!(timestamp(0), "Thu Jan  1 00:00:00 UTC 1970");
        assert_eq!(timestamp(1_553_350_203), "Sat Mar 23 14:10:03 UTC 2019");
    }
}
