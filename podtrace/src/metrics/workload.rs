//! The workload that a pod belongs to.
use std::collections::BTreeMap;

/// How many characters Kubernetes appends to the names of pods that it makes of a template.
const SUFFIX: usize = 5;

/// The name of a pod's workload by the labels that Kubernetes's controllers give pods, else by
/// those that people give them; none if there are none. `name`: the pod's, without namespace.
pub(super) fn workload<'a>(name: &'a str, labels: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let label = |key: &str| labels.get(key).map(String::as_str);
    // web-5d4f8c7b9-x2x7k of a Deployment.
    let of_deployment = label("pod-template-hash").and_then(|hash| {
        let set = without_suffix(name)?;
        set.strip_suffix(hash)?.strip_suffix('-')
    });
    // db-0 of a StatefulSet.
    let of_stateful_set = label("statefulset.kubernetes.io/pod-name").and_then(|_| {
        let (set, number) = name.rsplit_once('-')?;
        number.parse::<u32>().ok().map(|_| set)
    });
    // kube-flannel-x2x7k of a DaemonSet.
    let of_daemon_set = label("controller-revision-hash").and_then(|_| without_suffix(name));
    of_deployment
        .or_else(|| label("batch.kubernetes.io/job-name"))
        .or_else(|| label("job-name"))
        .or(of_stateful_set)
        .or(of_daemon_set)
        .or_else(|| label("app.kubernetes.io/name"))
        .or_else(|| label("app"))
        .filter(|name| !name.is_empty())
}

/// A pod's name without the characters that tell it from others of its template.
fn without_suffix(name: &str) -> Option<&str> {
    let (rest, suffix) = name.rsplit_once('-')?;
    (suffix.len() == SUFFIX && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workload_is_that_of_the_controller() {
        for (name, labels, expected) in [
            (
                "web-5d4f8c7b9-x2x7k",
                &[("pod-template-hash", "5d4f8c7b9"), ("app", "other")][..],
                Some("web"),
            ),
            (
                "my-web-5d4f8c7b9-x2x7k",
                &[("pod-template-hash", "5d4f8c7b9")],
                Some("my-web"),
            ),
            (
                "db-10",
                &[("statefulset.kubernetes.io/pod-name", "db-10")],
                Some("db"),
            ),
            (
                "flannel-x2x7k",
                &[("controller-revision-hash", "77")],
                Some("flannel"),
            ),
            (
                "backup-1-x2x7k",
                &[("job-name", "backup-1")],
                Some("backup-1"),
            ),
            (
                "a",
                &[("app.kubernetes.io/name", "shop"), ("app", "x")],
                Some("shop"),
            ),
            ("a", &[("app", "x")], Some("x")),
            // Labels that say something else than the name.
            ("a", &[("pod-template-hash", "5d4f8c7b9")], None),
            ("x-x2x7k", &[("pod-template-hash", "")], None),
            (
                "db-x",
                &[("statefulset.kubernetes.io/pod-name", "db-x")],
                None,
            ),
            ("-x2x7k", &[("controller-revision-hash", "77")], None),
            ("a", &[("app", "")], None),
            ("a", &[], None),
        ] {
            let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            let labels = labels.iter().map(own).collect();
            assert_eq!(workload(name, &labels), expected, "{name}");
        }
    }
}
