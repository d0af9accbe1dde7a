//! A runtime's answers as bytes: for fuzz targets, which have no runtime.
use std::collections::{HashMap, HashSet};

use containerd_client::types::Envelope;
use k8s_cri::v1::{ListContainersResponse, ListPodSandboxResponse, PodSandboxStatusResponse};
use prost::{DecodeError, Message as _};

use super::{
    netns::Mark,
    pods::{Answer, PodList},
    sandbox::Sandbox,
};
use crate::identity::events::containerd_prompt;

/// Lists the pods as [`super::Runtime::list`] does, and counts the sandboxes of the answer;
/// `statuses` are those of the sandboxes, in order.
///
/// # Errors
/// When an answer is not of the protocol.
pub fn list(
    sandboxes: &[u8],
    containers: &[u8],
    statuses: &[&[u8]],
) -> Result<(PodList, usize), DecodeError> {
    let sandboxes = ListPodSandboxResponse::decode(sandboxes)?.items;
    let containers = ListContainersResponse::decode(containers)?.containers;
    let count = sandboxes.len();
    let answer = Answer::new(sandboxes, containers);
    let mut known = HashMap::new();
    for ((id, state), status) in answer.sandboxes().zip(statuses) {
        let status = PodSandboxStatusResponse::decode(*status)?;
        let mut sandbox = Sandbox::default();
        // As it is known, no path is opened for it.
        sandbox.netns = Some(Mark { inode: 1, id: None });
        if sandbox.turn(state) {
            sandbox.learn(&status, None, None);
        }
        known.insert(id.to_owned(), sandbox);
    }
    let _ = answer.is_in_transition();
    Ok((answer.into_list(&known, &HashSet::new()), count))
}

/// Whether an event of containerd makes podtrace list the pods again.
///
/// # Errors
/// When it is not of the protocol.
pub fn is_prompt(event: &[u8]) -> Result<bool, DecodeError> {
    Ok(containerd_prompt(Envelope::decode(event)?).is_some())
}
