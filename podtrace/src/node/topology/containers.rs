//! The containers of a pod: the data of the runtime, joined with the processes.
use std::collections::{BTreeMap, HashMap};

use super::Container;
use crate::{model::pod, node::processes::Process, text::sanitize::sanitize};

/// The oldest process of each container, which is its first one: the container ends with
/// it.
#[derive(Debug)]
pub(super) struct FirstProcesses<'a>(HashMap<&'a str, &'a Process>);

impl<'a> FirstProcesses<'a> {
    pub(super) fn of(processes: impl IntoIterator<Item = &'a Process>) -> Self {
        let mut first: HashMap<&str, &Process> = HashMap::new();
        for process in processes {
            let Some(id) = process.container.container_id.as_deref() else {
                continue;
            };
            let oldest = first.entry(id).or_insert(process);
            let age = |process: &Process| (process.start_ticks, process.pid);
            if age(process) < age(oldest) {
                *oldest = process;
            }
        }
        Self(first)
    }

    /// The containers of a pod that the runtime knows: the sandbox, then the running ones.
    pub(super) fn of_pod(&self, pod: &pod::Pod) -> Vec<Container> {
        let sandbox = Container {
            sandbox: true,
            ..self.container(&pod.sandbox_id)
        };
        let running = pod.containers.iter().filter(|container| container.running);
        let containers = running.map(|container| Container {
            name: Some(sanitize(&container.name)),
            image: Some(sanitize(&container.image)).filter(|image| !image.is_empty()),
            ..self.container(&container.id)
        });
        std::iter::once(sandbox)
            // A sandbox without a process of its own, as under CRI-O.
            .filter(|sandbox| sandbox.pid.is_some())
            .chain(containers)
            .collect()
    }

    /// All of them, the oldest first: the sandbox is started before the rest.
    pub(super) fn all(&self) -> Vec<Container> {
        let by_age: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(id, process)| ((process.start_ticks, process.pid), *id))
            .collect();
        by_age.into_values().map(|id| self.container(id)).collect()
    }

    fn container(&self, id: &str) -> Container {
        let process = self.0.get(id);
        Container {
            id: sanitize(id),
            made_by: process.and_then(|process| process.container.runtime),
            pid: process.map(|process| process.pid),
            command: process.map(|process| sanitize(&process.comm)),
            namespaces: process
                .map(|process| process.namespaces)
                .unwrap_or_default(),
            ..Container::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::CgroupName;

    fn process(pid: u32, start_ticks: u64, id: Option<&str>) -> Process {
        Process {
            pid,
            parent: 1,
            comm: format!("c\x1b{pid}"),
            start_ticks,
            namespaces: crate::node::processes::Namespaces::default(),
            cgroup: String::new(),
            container: CgroupName {
                container_id: id.map(str::to_owned),
                ..CgroupName::default()
            },
        }
    }

    fn pids(containers: &[Container]) -> Vec<Option<u32>> {
        containers.iter().map(|container| container.pid).collect()
    }

    #[test]
    fn oldest_process_stands_for_its_container() {
        let processes = [
            process(9, 100, Some("a")),
            process(5, 300, Some("a")),
            process(7, 50, Some("b")),
            process(3, 1, None),
        ];
        let first = FirstProcesses::of(&processes);
        assert_eq!(pids(&first.all()), [Some(7), Some(9)]);
        assert_eq!(first.all()[0].command.as_deref(), Some("c\u{fffd}7"));
    }

    #[test]
    fn runtime_and_processes_are_joined() {
        let processes = [process(7, 50, Some("s")), process(9, 60, Some("a"))];
        let container = |id: &str, running| pod::Container {
            id: id.into(),
            name: format!("name-{id}"),
            running,
            ..pod::Container::default()
        };
        let pod = pod::Pod {
            sandbox_id: "s".into(),
            containers: vec![
                container("a", true),
                container("old", false),
                container("unseen", true),
            ],
            ..pod::Pod::default()
        };
        let containers = FirstProcesses::of(&processes).of_pod(&pod);
        assert_eq!(pids(&containers), [Some(7), Some(9), None]);
        assert!(containers[0].sandbox && !containers[1].sandbox);
        assert_eq!(containers[1].name.as_deref(), Some("name-a"));
        let without = FirstProcesses::of([]).of_pod(&pod);
        assert_eq!(pids(&without), [None, None]);
    }
}
