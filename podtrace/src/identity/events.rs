//! Prompts from the runtime that its pods have changed.
//!
//! Only lists are authoritative. An event only prompts a new list, with an id that the list
//! should have.
use containerd_client::{
    events::{ContainerCreate, TaskCreate, TaskExit, TaskStart},
    services::v1::{SubscribeRequest, events_client::EventsClient},
    types::Envelope,
};
use k8s_cri::v1::{
    ContainerEventResponse, GetEventsRequest, runtime_service_client::RuntimeServiceClient,
};
use prost::Message as _;
use tokio::{sync::mpsc, task::JoinHandle};
use tonic::{Code, Response, Status, Streaming, transport::Channel};

/// The name of containerd.
const CONTAINERD: &str = "containerd";
/// The containerd namespace of the kubelet's pods.
const NAMESPACE: &str = "k8s.io";
/// Events of pods and containers. A task is created before the first instruction of a
/// container runs.
const TOPICS: &[&str] = &[
    "/containers/create",
    "/containers/delete",
    "/tasks/create",
    "/tasks/start",
    "/tasks/exit",
];
/// Upper bound of the waiting prompts: the next list answers them all.
const QUEUE: usize = 256;

/// One prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// Something has changed; the id, if any, is one that a list should have soon.
    Changed(Option<String>),
    /// No more events will come.
    Ended {
        /// Unset if the runtime does not offer events.
        offered: bool,
    },
}

/// How a stream of events ended.
enum End {
    /// The runtime offers no events.
    NotOffered,
    /// The stream broke.
    Broken,
}

/// A subscription. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Events {
    prompts: mpsc::Receiver<Prompt>,
    task: JoinHandle<()>,
}

impl Events {
    /// Subscribes to containerd's own events, or else to those of CRI, which containerd
    /// lacks before 1.7. Whether there are any shows later: the server answers with its
    /// first event.
    pub(crate) fn subscribe(channel: Channel, runtime: &str) -> Self {
        let (sender, prompts) = mpsc::channel(QUEUE);
        let is_containerd = runtime == CONTAINERD;
        let task = tokio::spawn(async move {
            let mut end = End::NotOffered;
            if is_containerd {
                end = containerd_events(channel.clone(), &sender).await;
            }
            if matches!(end, End::NotOffered) {
                end = cri_events(channel, &sender).await;
            }
            let offered = matches!(end, End::Broken);
            // This fails only once the receiver was dropped.
            let _ = sender.send(Prompt::Ended { offered }).await;
        });
        Self { prompts, task }
    }

    /// Waits for the next prompt. Nothing comes after [`Prompt::Ended`].
    pub(crate) async fn next(&mut self) -> Prompt {
        let ended = Prompt::Ended { offered: true };
        self.prompts.recv().await.unwrap_or(ended)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn containerd_events(channel: Channel, prompts: &mpsc::Sender<Prompt>) -> End {
    let filters = TOPICS
        .iter()
        .map(|topic| format!(r#"namespace=="{NAMESPACE}",topic=="{topic}""#))
        .collect();
    let answer = EventsClient::new(channel)
        .subscribe(SubscribeRequest { filters })
        .await;
    pass_on(answer, prompts, containerd_prompt).await
}

async fn cri_events(channel: Channel, prompts: &mpsc::Sender<Prompt>) -> End {
    let answer = RuntimeServiceClient::new(channel)
        .get_container_events(GetEventsRequest {})
        .await;
    pass_on(answer, prompts, |event: ContainerEventResponse| {
        Some(Prompt::Changed(some_id(event.container_id)))
    })
    .await
}

/// Passes prompts on until the stream ends.
async fn pass_on<T>(
    answer: Result<Response<Streaming<T>>, Status>,
    prompts: &mpsc::Sender<Prompt>,
    prompt: impl Fn(T) -> Option<Prompt>,
) -> End {
    let mut stream = match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => return ended(&status),
    };
    let mut any = false;
    loop {
        match stream.message().await {
            Ok(Some(event)) => {
                any = true;
                if let Some(prompt) = prompt(event) {
                    // A full queue holds enough prompts.
                    let _ = prompts.try_send(prompt);
                }
            }
            // CRI-O without pod events ends the stream at once.
            Ok(None) if !any => return End::NotOffered,
            Ok(None) => return End::Broken,
            Err(status) => return ended(&status),
        }
    }
}

fn ended(status: &Status) -> End {
    match status.code() {
        Code::Unimplemented => End::NotOffered,
        _ => End::Broken,
    }
}

/// None for an event without meaning for pods: the exit of a process executed in a
/// container, as the kubelet's probes do all the time.
pub(super) fn containerd_prompt(envelope: Envelope) -> Option<Prompt> {
    let event = envelope.event.unwrap_or_default().value;
    let event = event.as_slice();
    let id = match envelope.topic.as_str() {
        "/containers/create" => ContainerCreate::decode(event).map(|made| made.id).ok(),
        "/tasks/create" => TaskCreate::decode(event).map(|made| made.container_id).ok(),
        "/tasks/start" => TaskStart::decode(event)
            .map(|started| started.container_id)
            .ok(),
        "/tasks/exit" => match TaskExit::decode(event) {
            Ok(exit) if exit.id != exit.container_id => return None,
            _ => None,
        },
        _ => None,
    };
    Some(Prompt::Changed(id.and_then(some_id)))
}

fn some_id(id: String) -> Option<String> {
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::cri::{
        Runtime,
        fake::{Fake, Script},
    };

    /// All prompts of a runtime that sends these events.
    async fn prompts(name: &str, events: Option<&[&str]>) -> Vec<Prompt> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("cri.sock");
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        let script = Script {
            events: events.map(ids),
            ..Script::default()
        };
        let _fake = Fake::listen(&socket, script);
        let runtime = Runtime::connect(&socket).await.unwrap();
        let mut events = Events::subscribe(runtime.channel(), name);
        let mut prompts = Vec::new();
        while !matches!(prompts.last(), Some(Prompt::Ended { .. })) {
            let next = tokio::time::timeout(Duration::from_secs(5), events.next());
            prompts.push(next.await.unwrap());
        }
        prompts
    }

    #[tokio::test]
    async fn events_of_cri_are_taken_where_there_are_no_others() {
        for name in ["cri-o", CONTAINERD] {
            let expected = [
                Prompt::Changed(Some("abc".to_owned())),
                Prompt::Changed(None),
                Prompt::Ended { offered: true },
            ];
            assert_eq!(prompts(name, Some(&["abc", ""])).await, expected);
        }
    }

    #[tokio::test]
    async fn a_runtime_without_events_says_so_in_two_ways() {
        let none = [Prompt::Ended { offered: false }];
        assert_eq!(prompts("cri-o", None).await, none);
        assert_eq!(prompts("cri-o", Some(&[])).await, none);
    }

    fn envelope(topic: &str, value: Vec<u8>) -> Envelope {
        let mut envelope = Envelope {
            topic: topic.to_owned(),
            ..Envelope::default()
        };
        envelope.event.get_or_insert_default().value = value;
        envelope
    }

    #[test]
    fn a_start_names_the_container() {
        let event = TaskStart {
            container_id: "abc".to_owned(),
            pid: 7,
        };
        assert_eq!(
            containerd_prompt(envelope("/tasks/start", event.encode_to_vec())),
            Some(Prompt::Changed(Some("abc".to_owned())))
        );
    }

    #[test]
    fn only_the_exit_of_the_container_itself_counts() {
        let exit = |id: &str| {
            let event = TaskExit {
                container_id: "abc".to_owned(),
                id: id.to_owned(),
                ..TaskExit::default()
            };
            containerd_prompt(envelope("/tasks/exit", event.encode_to_vec()))
        };
        assert_eq!(exit("abc"), Some(Prompt::Changed(None)));
        assert_eq!(exit("probe"), None);
    }

    #[test]
    fn garbage_is_a_prompt_all_the_same() {
        for topic in ["/tasks/start", "/tasks/exit", "/other"] {
            assert_eq!(
                containerd_prompt(envelope(topic, vec![0xff; 9])),
                Some(Prompt::Changed(None))
            );
        }
    }
}
