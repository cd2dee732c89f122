//! What the guest answered, as rows of the verdict.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use stage1_builder_guest::probe::Answer;

use crate::settings::Series;

use super::super::{Check, Image, Item, Status};
use super::module::NoModule;
use super::table::{Not, Planned};

/// The rows of groups whose checks are all of one kind: group, name.
const ROWS: [(&str, &str); 6] = [
    ("filesystem", "filesystems"),
    ("controller", "controllers"),
    ("namespace", "namespaces"),
    ("bpf-program", "bpf-programs"),
    ("bpf-map", "bpf-maps"),
    ("btf", "btf"),
];

/// All that is known of what happened in the guest.
pub(super) struct Seen<'a> {
    pub(super) image: &'a Image,
    pub(super) series: Series,
    pub(super) plan: &'a [Planned],
    pub(super) answers: &'a [Answer],
    pub(super) module: Result<(), NoModule>,
    /// Why there are no more answers, if the guest did not live to the end.
    pub(super) ended: Option<&'a str>,
}

impl Seen<'_> {
    /// Every row behind the one that says whether it booted.
    pub(super) fn rows(&self) -> Vec<Check> {
        let own = [self.release(), self.config()];
        let groups = ROWS.iter().map(|(group, name)| self.group(group, name));
        own.into_iter().chain(groups).chain([self.module()]).collect()
    }

    fn answer(&self, group: &str, name: &str) -> Result<&str, String> {
        let found = self.answers.iter().find(|one| one.group == group && one.name == name);
        match (found, self.ended) {
            (Some(Answer { result: Ok(text), .. }), _) => Ok(text),
            (Some(Answer { result: Err(text), .. }), _) => Err(text.clone()),
            (None, Some(why)) => Err(format!("not told: {why}")),
            (None, None) => Err("not told".to_owned()),
        }
    }

    /// `uname -r` against the folder of headers and modules, by which
    /// everybody in the guest finds them.
    fn release(&self) -> Check {
        const NAME: &str = "uname";
        let wanted = self.image.folder.as_ref().or(self.image.release.as_ref());
        match (self.answer("kernel", "release"), wanted) {
            (Err(said), _) => Check::failed(NAME, said),
            (Ok(said), Some(wanted)) if said != wanted => {
                Check::failed(NAME, format!("uname -r says {said}, the image {wanted}"))
            }
            (Ok(said), _) => Check::ok(NAME, format!("uname -r says {said}, as the image does")),
        }
    }

    /// `/proc/config.gz` against the image's own, byte for byte.
    fn config(&self) -> Check {
        const NAME: &str = "proc-config";
        let planned = self.plan.iter().find(|one| (one.group, &*one.name) == ("kernel", "config"));
        if let Some(not) = planned.and_then(|planned| planned.not.as_ref()) {
            return Check::skipped(NAME, why_not(not));
        }
        let told = self.answer("kernel", "config");
        let told = told.and_then(|hex| unpacked(hex).ok_or("it is not gzipped".to_owned()));
        match (told, self.image.config_bytes()) {
            (Err(said), _) => Check::failed(NAME, format!("/proc/config.gz: {said}")),
            (_, None) => Check::failed(NAME, "the image has no config to compare with"),
            (Ok(told), Some(own)) if told == own => {
                Check::ok(NAME, format!("/proc/config.gz is the image's, {} bytes", told.len()))
            }
            (Ok(told), Some(own)) => Check::failed(NAME, first_difference(&told, own)),
        }
    }

    fn module(&self) -> Check {
        const NAME: &str = "module";
        let planned = self.plan.iter().find(|one| (one.group, &*one.name) == ("kernel", "module"));
        match (planned.and_then(|planned| planned.not.as_ref()), &self.module) {
            (Some(not), _) => Check::skipped(NAME, why_not(not)),
            (None, Err(NoModule::Lacking(why))) => Check::skipped(NAME, why),
            (None, Err(NoModule::Failed(why))) => Check::failed(NAME, why),
            (None, Ok(())) => match self.answer("kernel", "module") {
                Ok(said) => {
                    Check::ok(NAME, format!("compiled against the image's headers, {said}"))
                }
                Err(said) => Check::failed(NAME, said),
            },
        }
    }

    fn group(&self, group: &str, name: &'static str) -> Check {
        let items: Vec<Item> =
            self.plan.iter().filter(|one| one.group == group).map(|one| self.item(one)).collect();
        let status = |status| items.iter().any(|item| item.status == status);
        let status = match (status(Status::Failed), status(Status::Ok)) {
            (true, _) => Status::Failed,
            (false, true) => Status::Ok,
            (false, false) => Status::Skipped,
        };
        let mut details = summary(&items);
        details.extend(left_out(self.plan, group, self.series));
        Check { name, status, details, items }
    }

    fn item(&self, planned: &Planned) -> Item {
        let (status, detail) = match &planned.not {
            Some(not) => (Status::Skipped, why_not(not)),
            None => match self.answer(planned.group, &planned.name) {
                Ok(said) => (Status::Ok, said.to_owned()),
                Err(said) => (Status::Failed, said),
            },
        };
        let config = planned.config.iter().map(|names| names.replace('|', " or ")).collect();
        Item { name: planned.name.clone(), status, detail, config }
    }
}

fn why_not(not: &Not) -> String {
    match not {
        Not::Yet(since) => format!("since {since}"),
        Not::Module(symbol) => format!("{symbol} is a module"),
        Not::Off(symbol) => format!("{symbol} is off"),
    }
}

/// One line for each that failed, and one for all others of the same fate.
fn summary(items: &[Item]) -> Vec<String> {
    let failed = items.iter().filter(|item| item.status == Status::Failed).map(|item| {
        let brought = match item.config.as_slice() {
            [] => String::new(),
            names => format!(" (CONFIG_{})", names.join(", CONFIG_")),
        };
        format!("{}: {}{brought}", item.name, item.detail)
    });
    let mut good: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for item in items.iter().filter(|item| item.status == Status::Ok) {
        good.entry(&item.detail).or_default().push(&item.name);
    }
    // What most are comes first.
    let mut good: Vec<_> = good.into_iter().collect();
    good.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let good = good.into_iter().map(|(detail, names)| match names.as_slice() {
        [name] if items.len() == 1 => format!("{name}: {detail}"),
        names => format!("{} {detail}: {}", names.len(), names.join(", ")),
    });
    failed.chain(good).collect()
}

/// What was not tried, by the reason.
fn left_out(plan: &[Planned], group: &str, series: Series) -> Vec<String> {
    let (mut yet, mut modules, mut off) = (Vec::new(), Vec::new(), Vec::new());
    for Planned { name, not, .. } in plan.iter().filter(|one| one.group == group) {
        match not {
            None => {}
            Some(Not::Yet(since)) => yet.push(format!("{name} ({since})")),
            Some(Not::Module(_)) => modules.push(name.clone()),
            Some(Not::Off(_)) => off.push(name.clone()),
        }
    }
    let later = format!("not in {series}");
    let titled = [("modules, not tried", modules), ("off in this image", off), (&later, yet)];
    let some = titled.into_iter().filter(|(_, names)| !names.is_empty());
    some.map(|(title, names)| format!("{title}: {}", names.join(", "))).collect()
}

/// What hexadecimal digits stand for, unpacked.
fn unpacked(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let packed: Vec<u8> = digits.map(byte).collect::<Option<_>>()?;
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn first_difference(told: &[u8], own: &[u8]) -> String {
    let lines = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
    };
    let (told, own) = (lines(told), lines(own));
    let nothing = "nothing".to_owned();
    let most = told.len().max(own.len());
    let at = (0..most).find(|&at| told.get(at) != own.get(at)).unwrap_or(most);
    let line = |lines: &[String]| lines.get(at).unwrap_or(&nothing).clone();
    format!("line {}: /proc/config.gz has '{}', the image '{}'", at + 1, line(&told), line(&own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(name: &str, not: Option<Not>) -> Planned {
        let config = vec![name.to_uppercase()];
        Planned { group: "bpf-map", name: name.to_owned(), config, not }
    }

    #[test]
    fn those_of_one_fate_share_a_line_and_failures_have_their_own() {
        let later = Not::Yet(Series { major: 5, minor: 8 });
        let off = Not::Off("CONFIG_XSKMAP".to_owned());
        let plan = [
            planned("hash", None),
            planned("array", None),
            planned("queue", None),
            planned("ringbuf", Some(later)),
            planned("xskmap", Some(off)),
        ];
        let item = |name: &str, status, detail: &str| Item {
            name: name.to_owned(),
            status,
            detail: detail.to_owned(),
            config: vec![name.to_uppercase()],
        };
        let items = [
            item("hash", Status::Ok, "created"),
            item("array", Status::Ok, "created"),
            item("queue", Status::Failed, "EPERM"),
        ];
        assert_eq!(summary(&items), ["queue: EPERM (CONFIG_QUEUE)", "2 created: hash, array"]);
        let left = left_out(&plan, "bpf-map", Series { major: 4, minor: 9 });
        assert_eq!(left, ["off in this image: xskmap", "not in 4.9: ringbuf (5.8)"]);
    }

    #[test]
    fn a_configuration_comes_out_of_its_digits() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"CONFIG_A=y\n").unwrap();
        let hex: String =
            packed.finish().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(unpacked(&hex).as_deref(), Some(b"CONFIG_A=y\n".as_slice()));
        assert_eq!((unpacked("00"), unpacked("é"), unpacked("")), (None, None, None));
        let told = first_difference(b"A=y\nB=y\n", b"A=y\nB=m\n");
        assert_eq!(told, "line 2: /proc/config.gz has 'B=y', the image 'B=m'");
        assert!(first_difference(b"A=y\n", b"").contains("the image 'nothing'"));
    }
}
