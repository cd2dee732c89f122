//! Who the command runs as: names and numbers, by the container's own files.

use crate::wire::Failure;

use super::etc;
use super::problem::Problem;

/// More than any container's; less than what would hurt a small guest.
const MOST: u64 = 4 << 20;

/// A user as the kernel knows one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// Resolves `user[:group]` and further groups.
pub(super) fn resolve(user: &str, groups: &[String]) -> Result<User, Problem> {
    let file = |path| {
        let bytes = etc::read(path, MOST).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    find(user, groups, &file("/etc/passwd"), &file("/etc/group"))
        .map_err(|text| Problem::new(Failure::NoUser, text))
}

pub(super) fn find(
    user: &str,
    further: &[String],
    passwd: &str,
    group: &str,
) -> Result<User, String> {
    let (name, group_name) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let name = if name.is_empty() { "0" } else { name };
    // passwd(5): name:password:UID:GID:GECOS:directory:shell
    let entry = fields(passwd).find(|entry| entry[0] == name || entry.get(2) == Some(&name));
    let number = |at: usize| entry.as_ref().and_then(|entry| entry.get(at)?.parse().ok());
    let uid = number(2).or_else(|| name.parse().ok());
    let uid = uid.ok_or_else(|| format!("the container has no user '{name}'"))?;
    let gid = match group_name {
        Some(name) => find_group(name, group)?,
        None => number(3).unwrap_or(0),
    };
    let home = entry.as_ref().and_then(|entry| entry.get(5)).filter(|home| !home.is_empty());
    let mut groups = match (group_name, &entry) {
        // A group that is named is the only one, as container runtimes have it.
        (None, Some(entry)) => memberships(entry[0], group),
        _ => Vec::new(),
    };
    for name in further {
        groups.push(find_group(name, group)?);
    }
    Ok(User { uid, gid, groups, home: (*home.unwrap_or(&"/")).to_owned() })
}

/// group(5): name:password:GID:members
fn find_group(name: &str, group: &str) -> Result<u32, String> {
    let listed = fields(group).find(|entry| entry[0] == name);
    let number = listed.and_then(|entry| entry.get(2)?.parse().ok());
    number
        .or_else(|| name.parse().ok())
        .ok_or_else(|| format!("the container has no group '{name}'"))
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    let is_in = |entry: &Vec<&str>| {
        entry.get(3).is_some_and(|members| members.split(',').any(|member| member == user))
    };
    fields(group).filter(is_in).filter_map(|entry| entry.get(2)?.parse().ok()).collect()
}

fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:\nann:x:7:8::/a:\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,ann\naudio:x:29:ann\nbad\n";

    fn user(text: &str) -> Result<(u32, u32, Vec<u32>, String), String> {
        find(text, &[], PASSWD, GROUP).map(|user| (user.uid, user.gid, user.groups, user.home))
    }

    #[test]
    fn names_and_numbers_are_users() {
        assert_eq!(user(""), Ok((0, 0, vec![10], "/root".to_owned())));
        assert_eq!(user("ann"), Ok((7, 8, vec![10, 29], "/a".to_owned())));
        assert_eq!(user("7"), user("ann"));
        assert_eq!(user("ann:audio"), Ok((7, 29, vec![], "/a".to_owned())));
        assert_eq!(user("1000:1000"), Ok((1000, 1000, vec![], "/".to_owned())));
        assert_eq!(user("1000"), Ok((1000, 0, vec![], "/".to_owned())));
    }

    #[test]
    fn an_unknown_name_is_named() {
        assert_eq!(user("bob").unwrap_err(), "the container has no user 'bob'");
        assert_eq!(user("ann:none").unwrap_err(), "the container has no group 'none'");
        let further = ["wheel".to_owned(), "77".to_owned()];
        assert_eq!(find("1000", &further, PASSWD, GROUP).unwrap().groups, [10, 77]);
        assert!(find("1000", &["none".to_owned()], PASSWD, GROUP).is_err());
    }
}
