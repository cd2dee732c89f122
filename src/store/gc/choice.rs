//! What goes. Pure.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use super::{Bucket, Item};

/// What may stay.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// So many of each bucket stay, those that were used last.
    pub keep: Option<usize>,
    /// What was not used for so long goes.
    pub older_than: Option<Duration>,
    /// Of all together at most so many bytes stay.
    pub max_size: Option<u64>,
}

/// Whether each of the items goes:
///
/// * what serves nobody, always;
/// * what is older than the limit, but never the last few that are to be kept
///   of a bucket; without a limit to the age, all but these few;
/// * then what was not used for longest, until the rest fits in the size.
///
/// What is in use stays, and counts.
pub(super) fn choose(items: &[Item], limits: &Limits, now: SystemTime) -> Vec<bool> {
    let mut goes: Vec<bool> = items.iter().map(|item| item.garbage && !item.in_use).collect();
    let kept = kept(items, limits);
    let by_age = limits.older_than.is_some() || limits.keep.is_some();
    for (index, item) in items.iter().enumerate() {
        let age = now.duration_since(item.used).unwrap_or_default();
        let old = limits.older_than.map_or(!item.note, |limit| age > limit);
        goes[index] |= by_age && old && !kept[index] && !item.in_use;
    }
    if let Some(most) = limits.max_size {
        shrink(items, &kept, most, &mut goes);
    }
    goes
}

/// Whether each is among the last of its bucket.
fn kept(items: &[Item], limits: &Limits) -> Vec<bool> {
    let mut kept = vec![false; items.len()];
    for bucket in Bucket::ALL {
        let counts = |item: &Item| item.bucket == bucket && !item.garbage && !item.note;
        let mut of: Vec<usize> = (0..items.len()).filter(|&i| counts(&items[i])).collect();
        of.sort_by_key(|&index| Reverse(items[index].used));
        of.iter().take(limits.keep.unwrap_or(0)).for_each(|&index| kept[index] = true);
    }
    kept
}

fn shrink(items: &[Item], kept: &[bool], most: u64, goes: &mut [bool]) {
    let mut size: u64 =
        items.iter().zip(&*goes).filter(|(_, goes)| !**goes).map(|(item, _)| item.size).sum();
    let mut oldest: Vec<usize> = (0..items.len()).collect();
    oldest.sort_by_key(|&index| items[index].used);
    for index in oldest {
        if size <= most {
            return;
        }
        let Item { in_use, note, .. } = items[index];
        if !goes[index] && !kept[index] && !in_use && !note {
            goes[index] = true;
            size -= items[index].size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::items::Guard;
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + 1_000 * DAY
    }

    fn item(bucket: Bucket, days: u32, size: u64) -> Item {
        Item {
            bucket,
            name: format!("{days}"),
            size,
            used: now() - days * DAY,
            in_use: false,
            garbage: false,
            note: false,
            paths: Vec::new(),
            guard: Guard::Locks(Vec::new()),
        }
    }

    fn gone(items: &[Item], limits: Limits) -> Vec<&str> {
        let goes = choose(items, &limits, now());
        let gone = items.iter().zip(goes).filter(|(_, goes)| *goes);
        gone.map(|(item, _)| item.name.as_str()).collect()
    }

    fn some() -> Vec<Item> {
        vec![
            item(Bucket::Images, 1, 10),
            item(Bucket::Images, 40, 10),
            item(Bucket::Images, 50, 10),
            item(Bucket::Workspaces, 60, 100),
            item(Bucket::Workspaces, 2, 100),
        ]
    }

    #[test]
    fn without_limits_only_what_serves_nobody_goes() {
        let mut items = some();
        assert_eq!(gone(&items, Limits::default()), Vec::<&str>::new());
        items[0].garbage = true;
        assert_eq!(gone(&items, Limits::default()), ["1"]);
        items[0].in_use = true;
        assert_eq!(gone(&items, Limits::default()), Vec::<&str>::new());
    }

    #[test]
    fn age_number_and_size_each_have_their_say() {
        let items = some();
        let keep = |count| Limits { keep: Some(count), ..Limits::default() };
        let age = Limits { older_than: Some(30 * DAY), ..Limits::default() };
        assert_eq!(gone(&items, keep(1)), ["40", "50", "60"]);
        assert_eq!(gone(&items, keep(0)), ["1", "40", "50", "60", "2"]);
        assert_eq!(gone(&items, age), ["40", "50", "60"]);
        assert_eq!(gone(&items, Limits { keep: Some(2), ..age }), ["50"]);
        let size = |most| Limits { max_size: Some(most), ..Limits::default() };
        assert_eq!(gone(&items, size(230)), Vec::<&str>::new());
        assert_eq!(gone(&items, size(229)), ["60"]);
        assert_eq!(gone(&items, size(125)), ["50", "60"]);
        assert_eq!(gone(&items, Limits { keep: Some(1), ..size(0) }), ["40", "50", "60"]);
    }

    #[test]
    fn a_note_goes_by_its_age_alone() {
        let mut items = some();
        items[0].note = true;
        let limits = Limits { keep: Some(1), max_size: Some(0), ..Limits::default() };
        assert_eq!(gone(&items, limits), ["50", "60"], "the images that count are 40 and 50");
        let age = Limits { older_than: Some(DAY / 2), ..Limits::default() };
        assert_eq!(gone(&items, age).len(), 5);
    }

    #[test]
    fn what_is_in_use_stays_and_counts() {
        let mut items = some();
        items[3].in_use = true;
        let limits = Limits { max_size: Some(110), ..Limits::default() };
        assert_eq!(gone(&items, limits), ["40", "50", "2"]);
        assert_eq!(gone(&items, Limits { keep: Some(0), ..limits }), ["1", "40", "50", "2"]);
    }
}
