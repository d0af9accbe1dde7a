//! Which container and pod a cgroup path names, in every spelling in use.
//!
//! A container's cgroup is named by two choices: the kubelet's cgroup driver
//! (`cgroupfs`: `/kubepods/burstable/pod<uid>/<id>`; `systemd`:
//! `/kubepods.slice/…-pod<uid>.slice/cri-containerd-<id>.scope`) and the
//! runtime's prefix. Nothing here looks at a file: the text of
//! `/proc/<pid>/cgroup` or a path comes in, names go out.
pub mod fs;
pub mod memory;

use serde::Serialize;

/// Digits of a container id of containerd, CRI-O and Docker.
const ID_LENGTH: usize = 64;

/// The program that made a container, where its cgroup's name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// containerd through CRI.
    Containerd,
    /// CRI-O.
    #[serde(rename = "cri-o")]
    Crio,
    /// Docker, with or without cri-dockerd.
    Docker,
}

/// The names in a cgroup path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct CgroupName {
    /// UID of the pod object, with dashes; 32 hexadecimal digits without
    /// dashes for a static pod.
    pub pod_uid: Option<String>,
    /// The runtime's id of the container: 64 hexadecimal digits. The sandbox's
    /// own container has one too.
    pub container_id: Option<String>,
    /// The runtime; the `cgroupfs` driver does not tell.
    pub runtime: Option<Runtime>,
}

impl CgroupName {
    /// Whether the path named neither pod nor container.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pod_uid.is_none() && self.container_id.is_none()
    }
}

/// Reads a cgroup path, as in `/proc/<pid>/cgroup`.
///
/// Where nodes run in containers (kind), the innermost pod counts, and in it
/// the container right below the pod: what a container starts inside of itself
/// is unknown to Kubernetes. Outside of pods the innermost container counts.
#[must_use]
pub fn parse_path(path: &str) -> CgroupName {
    let mut name = CgroupName::default();
    let mut parent = "";
    for component in path.split('/').filter(|component| !component.is_empty()) {
        // `<slice>:<prefix>:<id>`: a systemd path that runc took for a plain one.
        let literal = literal(component);
        let (directory, container) = match &literal {
            Some((slice, scope)) => (*slice, Some(scope.as_str())),
            None => (component, None),
        };
        if let Some(uid) = pod_uid(directory, parent) {
            name = CgroupName {
                pod_uid: Some(uid),
                ..CgroupName::default()
            };
        }
        let known = name.pod_uid.is_some() && name.container_id.is_some();
        if let Some((id, runtime)) = container_id(container.unwrap_or(component), parent)
            && !known
        {
            name.container_id = Some(id.to_owned());
            name.runtime = runtime;
        }
        parent = component;
    }
    name
}

/// Reads the text of `/proc/<pid>/cgroup`: the cgroup v2 line (`0::`) where it
/// names something, else the first v1 line that does (v1 and hybrid nodes).
#[must_use]
pub fn parse_file(text: &str) -> CgroupName {
    paths(text)
        .map(parse_path)
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

/// The cgroup v2 path in the text of `/proc/<pid>/cgroup`, if there is one.
#[must_use]
pub fn unified(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The paths in the text of `/proc/<pid>/cgroup`, the cgroup v2 one first.
pub fn paths(text: &str) -> impl Iterator<Item = &str> {
    let v1 = text
        .lines()
        .filter(|line| !line.starts_with("0::"))
        .filter_map(|line| line.splitn(3, ':').nth(2));
    unified(text).into_iter().chain(v1)
}

/// The path of a cgroup up to and including the directory that holds all pods
/// (`kubepods` or `kubepods.slice`), the innermost one.
#[must_use]
pub fn kubepods_of(path: &str) -> Option<&str> {
    let mut end = 0;
    let mut found = None;
    for component in path.split('/') {
        end += component.len();
        if is_kubepods(component) {
            found = path.get(..end);
        }
        end += 1;
    }
    found
}

/// The systemd unit of a cgroup path: the innermost service, scope or other unit, else the
/// innermost slice.
#[must_use]
pub fn unit(path: &str) -> Option<&str> {
    let parts = || path.split('/').rev();
    let is_unit = |part: &&str| {
        let kinds = [".service", ".scope", ".socket", ".mount", ".swap"];
        kinds.iter().any(|kind| part.ends_with(kind))
    };
    let slice = || parts().find(|part| part.ends_with(".slice"));
    parts().find(is_unit).or_else(slice)
}

/// The user whose slice a cgroup path is in: `/user.slice/user-1000.slice/…`.
#[must_use]
pub fn user(path: &str) -> Option<u32> {
    path.split('/').find_map(|part| {
        let uid = part.strip_prefix("user-")?.strip_suffix(".slice")?;
        uid.parse().ok()
    })
}

/// `kubepods`, or with the systemd driver `kubepods.slice`, under a
/// `--cgroup-root` `kubelet-kubepods.slice`.
fn is_kubepods(component: &str) -> bool {
    component == "kubepods"
        || component
            .strip_suffix("kubepods.slice")
            .is_some_and(|before| before.is_empty() || before.ends_with('-'))
}

/// `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>` as the slice and
/// the scope it means.
fn literal(component: &str) -> Option<(&str, String)> {
    let mut parts = component.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(slice), Some(prefix), Some(id), None) if slice.ends_with(".slice") => {
            Some((slice, format!("{prefix}-{id}.scope")))
        }
        _ => None,
    }
}

/// The pod that a directory belongs to.
fn pod_uid(component: &str, parent: &str) -> Option<String> {
    let uid = match component.strip_suffix(".slice") {
        Some(slice) => {
            let (before, uid) = slice.rsplit_once("-pod")?;
            let before = before
                .strip_suffix("-burstable")
                .or_else(|| before.strip_suffix("-besteffort"))
                .unwrap_or(before);
            (before == "kubepods" || before.ends_with("-kubepods")).then_some(uid)?
        }
        None => {
            let uid = component.strip_prefix("pod")?;
            let in_kubepods = matches!(parent, "kubepods" | "burstable" | "besteffort");
            (in_kubepods || looks_like_uid(uid)).then_some(uid)?
        }
    };
    let fine = !uid.is_empty()
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    // systemd's slices cannot have dashes in a name.
    fine.then(|| uid.replace('_', "-"))
}

/// A UUID, or the hash that a static pod has in its place.
fn looks_like_uid(text: &str) -> bool {
    match text.len() {
        32 => is_hex(text),
        36 => {
            let groups = text.split('-').map(str::len);
            groups.eq([8, 4, 4, 4, 12]) && text.split('-').all(is_hex)
        }
        _ => false,
    }
}

/// The container of a directory, with its runtime if the name shows it.
fn container_id<'a>(component: &'a str, parent: &str) -> Option<(&'a str, Option<Runtime>)> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let (id, runtime) = match name.rsplit_once('-') {
        // The monitor of CRI-O, `crio-conmon-<id>`, is not the container.
        Some(("cri-containerd", id)) => (id, Some(Runtime::Containerd)),
        Some(("crio", id)) => (id, Some(Runtime::Crio)),
        Some(("docker", id)) => (id, Some(Runtime::Docker)),
        Some(_) => return None,
        None if parent == "docker" => (name, Some(Runtime::Docker)),
        None => (name, None),
    };
    (id.len() == ID_LENGTH && is_hex(id)).then_some((id, runtime))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
