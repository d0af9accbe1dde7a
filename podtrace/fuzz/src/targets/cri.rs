//! A container runtime's answers.
use podtrace::identity::cri::answers;

use crate::input::parts;

/// Lists the pods of an answer in parts: sandboxes, containers, and the sandboxes' states.
pub(crate) fn run(bytes: &[u8]) {
    let parts: Vec<_> = parts(bytes).collect();
    if let [sandboxes, containers, statuses @ ..] = &parts[..]
        && let Ok((list, count)) = answers::list(sandboxes, containers, statuses)
    {
        let counted = list.pods.len() + list.cut_pods + list.unreadable;
        assert!(counted >= count, "{counted} of {count} sandboxes");
        let ordered = list.pods.is_sorted_by_key(|pod| {
            let (namespace, name) = (pod.namespace.clone(), pod.name.clone());
            (namespace, name, pod.created_ns)
        });
        assert!(ordered, "{list:?}");
        let _ = list.left_out();
    }
    let _ = answers::is_prompt(bytes);
}
