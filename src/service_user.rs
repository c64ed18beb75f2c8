//! The user that a service runs as: `check-config` as root switches to that user, so it reads only what the service can
//! read.

use crate::config::ConfigError;
use rustix::fs::{Gid, Uid};
use rustix::process::geteuid;
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Home directories, which the units hide from the services (`ProtectHome=`).
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// UserNames, as a unit or a command line has them.
#[derive(Debug, Default, PartialEq, Eq)]
struct UserNames {
    user: String,
    /// `None`: the user's primary group.
    group: Option<String>,
    /// In addition to those in /etc/group.
    more_groups: Vec<String>,
}

/// The ids of a process.
#[derive(Debug, PartialEq, Eq)]
struct UserIds {
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

/// Switches a root process to the service's user and returns that user's name. Returns `None` without a switch if the
/// process is not root's, `wanted` is root, or the service is not installed yet. For a process with one thread.
///
/// The user and its groups are those of the unit named `service` if systemd knows one, else the user `default`;
/// `wanted` names another user.
///
/// # Errors
/// There is no user `wanted`, or the kernel refuses.
pub fn become_user(
    service: &str,
    default: &str,
    wanted: Option<&str>,
) -> Result<Option<String>, ConfigError> {
    if !geteuid().is_root() {
        return match wanted {
            Some(_) => Err(ConfigError::new("only root can check as another user; run it with sudo")),
            None => Ok(None),
        };
    }
    let names = match wanted {
        Some(user) => UserNames { user: user.to_owned(), ..UserNames::default() },
        None => user_of_unit(service)
            .unwrap_or_else(|| UserNames { user: default.to_owned(), ..UserNames::default() }),
    };
    if matches!(names.user.as_str(), "" | "root") {
        return Ok(None);
    }
    let problem = |why: &dyn std::fmt::Display| {
        ConfigError::new(format!("cannot check as the user {}: {why}", names.user))
    };
    match (find(Path::new("/etc"), &names).map_err(|error| problem(&error))?, wanted) {
        (Some(ids), _) => {
            set_ids(&ids).map_err(|error| problem(&error))?;
            Ok(Some(names.user))
        }
        (None, Some(_)) => Err(problem(&"there is no such user")),
        (None, None) => Ok(None),
    }
}

/// User and group id of a user of this system; `None` if there is no such user.
pub fn ids_of(user: &str) -> Option<(u32, u32)> {
    let names = UserNames { user: user.to_owned(), ..UserNames::default() };
    let ids = find(Path::new("/etc"), &names).ok()??;
    Some((ids.user, ids.group))
}

/// Replaces this root process by the program with `--config FILE COMMAND`, run with the user, groups, environment and
/// mount namespace of the process `pid`. `ExecReload=` itself does not see credentials (`LoadCredential=`) in systemd
/// 252 and 257.
///
/// # Errors
/// Returns only on failure, with one sentence.
pub fn run_as_process(pid: u32, config: &Path, command: &str) -> ConfigError {
    let problem =
        |why: &dyn std::fmt::Display| ConfigError::new(format!("cannot check as process {pid}: {why}"));
    let process = PathBuf::from(format!("/proc/{pid}"));
    let read = |name: &str| fs::read(process.join(name));
    let (status, environment, mounts) =
        match (read("status"), read("environ"), File::open(process.join("ns/mnt"))) {
            (Ok(status), Ok(environment), Ok(mounts)) => (status, environment, mounts),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return problem(&error),
        };
    let Some(ids) = ids_of_process(&String::from_utf8_lossy(&status)) else {
        return problem(&"its /proc/PID/status has no user");
    };
    if let Err(error) = move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount)) {
        eprintln!(
            "warning: cannot enter the service's mount namespace, checking files as this command sees them: {error}"
        );
    }
    if let Err(error) = set_ids(&ids) {
        return problem(&error);
    }
    let variables = environment.split(|byte| *byte == 0).filter_map(|variable| {
        let equals = variable.iter().position(|byte| *byte == b'=')?;
        Some((OsStr::from_bytes(&variable[..equals]), OsStr::from_bytes(&variable[equals + 1..])))
    });
    // The path of the program may name another file, or none, in the other mount namespace.
    let mut program = Command::new("/proc/self/exe");
    program.arg("--config").arg(config).arg(command).env_clear().envs(variables);
    problem(&program.exec())
}

/// Lines are "Uid:\treal\teffective\tsaved\tfs", and "Groups:\t1 2 3".
fn ids_of_process(status: &str) -> Option<UserIds> {
    let numbers = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().map(|number| number.parse().ok()).collect::<Option<Vec<u32>>>()
    };
    let (user, group) = (*numbers("Uid")?.get(1)?, *numbers("Gid")?.get(1)?);
    Some(UserIds { user, group, groups: numbers("Groups")? })
}

/// Adds the user who could not read the file, for root.
pub fn name_user(error: ConfigError, user: Option<&str>, file: &Path) -> ConfigError {
    match user {
        Some(user) if error.is_unreadable() => ConfigError::new(format!(
            "the service's user {user} cannot read {}: permission denied; give it to a group of that user",
            file.display()
        )),
        Some(user) => ConfigError::new(format!("{error} (read as the service's user {user})")),
        None => error,
    }
}

/// One sentence for each file that is hidden from the service regardless of its mode.
pub fn hidden_files<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Vec<String> {
    let is_hidden = |file: &&PathBuf| HIDDEN.iter().any(|home| file.starts_with(home));
    let sentence = |file: &PathBuf| {
        format!(
            "{}: home directories are hidden from the service (ProtectHome= in its unit); put the file elsewhere",
            file.display()
        )
    };
    files.into_iter().filter(is_hidden).map(sentence).collect()
}

/// Groups first: after the user has changed, they cannot be set.
fn set_ids(ids: &UserIds) -> io::Result<()> {
    let groups: Vec<Gid> = ids.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let (user, group) = (Uid::from_raw(ids.user), Gid::from_raw(ids.group));
    set_thread_groups(&groups)?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// `None` if systemd does not run or has no such unit.
fn user_of_unit(service: &str) -> Option<UserNames> {
    let properties = ["LoadState", "User", "Group", "SupplementaryGroups"].join(",");
    let mut systemctl = Command::new("systemctl");
    systemctl.args(["show", "--property", &properties, &format!("{service}.service")]);
    let output = systemctl.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    unit_names(&String::from_utf8_lossy(&output.stdout))
}

/// Parses lines of the form "Property=value".
fn unit_names(shown: &str) -> Option<UserNames> {
    let value = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    (value("LoadState")? == "loaded").then(|| UserNames {
        user: value("User").unwrap_or_default().to_owned(),
        group: value("Group").filter(|group| !group.is_empty()).map(str::to_owned),
        more_groups: value("SupplementaryGroups").unwrap_or_default().split(' ').map(str::to_owned).collect(),
    })
}

/// System users are in these two files. A directory service would need NSS, which a static program does not have.
fn find(etc: &Path, names: &UserNames) -> io::Result<Option<UserIds>> {
    let users = fs::read_to_string(etc.join("passwd"))?;
    let groups = fs::read_to_string(etc.join("group"))?;
    Ok(parse(&users, &groups, names))
}

/// Lines are "name:password:user:group:..." and "name:password:group:member,member".
fn parse(users: &str, groups: &str, names: &UserNames) -> Option<UserIds> {
    let user = users.lines().map(fields).find(|user| user.first() == Some(&names.user.as_str()))?;
    let groups: Vec<Vec<&str>> = groups.lines().map(fields).collect();
    let id = |group: &Vec<&str>| group.get(2)?.parse::<u32>().ok();
    let called = |name: &str| groups.iter().find(|group| group.first() == Some(&name)).and_then(id);
    let group = match &names.group {
        Some(name) => called(name)?,
        None => user.get(3)?.parse().ok()?,
    };
    let lists_user = |group: &&Vec<&str>| {
        group.get(3).is_some_and(|members| members.split(',').any(|member| member == names.user))
    };
    let listed = groups.iter().filter(lists_user).filter_map(id);
    let more = names.more_groups.iter().filter_map(|name| called(name));
    let groups = std::iter::once(group).chain(listed).chain(more).collect();
    Some(UserIds { user: user.get(2)?.parse().ok()?, group, groups })
}

fn fields(line: &str) -> Vec<&str> {
    line.split(':').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0::/root:/bin/sh\nheartbeat:x:990:989::/:/usr/sbin/nologin\nbad:x:many:1::/:/bin/sh\n";
    const GROUPS: &str =
        "root:x:0:\nvideo:x:44:pi,heartbeat\naudio:x:29:heartbeat2\nbroken\nssl-cert:x:110:\n";

    fn names(user: &str) -> UserNames {
        UserNames { user: user.to_owned(), ..UserNames::default() }
    }

    #[test]
    fn a_user_has_its_primary_group_and_those_that_list_it() {
        let ids = UserIds { user: 990, group: 989, groups: vec![989, 44] };
        assert_eq!(parse(USERS, GROUPS, &names("heartbeat")), Some(ids));
        for name in ["heart", "bad", ""] {
            assert_eq!(parse(USERS, GROUPS, &names(name)), None, "{name}");
        }
    }

    #[test]
    fn the_unit_may_name_another_user_and_more_groups() {
        let shown =
            "LoadState=loaded\nUser=heartbeat\nGroup=video\nSupplementaryGroups=ssl-cert nobody-knows\n";
        let ids = parse(USERS, GROUPS, &unit_names(shown).expect("loaded"));
        assert_eq!(ids, Some(UserIds { user: 990, group: 44, groups: vec![44, 44, 110] }));
        let of_root = unit_names("User=\nGroup=\nSupplementaryGroups=\nLoadState=loaded\n");
        assert_eq!(of_root.map(|names| names.user).as_deref(), Some(""));
        assert_eq!(unit_names("LoadState=not-found\nUser=\n"), None);
        assert_eq!(unit_names(""), None);
    }

    #[test]
    fn a_process_has_its_effective_user_and_all_its_groups() {
        let status =
            "Name:\theartbeat-daemo\nUid:\t0\t990\t990\t990\nGid:\t0\t989\t989\t989\nGroups:\t44 989 \n";
        assert_eq!(ids_of_process(status), Some(UserIds { user: 990, group: 989, groups: vec![44, 989] }));
        assert_eq!(ids_of_process("Uid:\t0\nGid:\t0\n"), None);
    }

    #[test]
    fn a_file_in_a_home_is_named() {
        let files = ["/home/pi/token", "/etc/heartbeat-daemon/token", "/homestead/x", "/root/key"];
        let files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
        let named = hidden_files(&files);
        assert_eq!(named.len(), 2, "{named:?}");
        assert!(named[0].starts_with("/home/pi/token: "), "{named:?}");
    }
}
