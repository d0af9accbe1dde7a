//! The way to agents: by their addresses, or by the Kubernetes API.
use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, anyhow, bail};

use super::{Asking, Reached, in_turn};
use crate::{
    agent::{Agent, Allow},
    cli::End,
    identity::kubernetes::{AgentPod, Agents, Asked, ClusterSource},
    select::Peer,
    signals::Stop,
    sink::tell,
    text::{names::list, sanitize::sanitize},
};

/// Connects to the agents; none if a signal came first.
pub(super) async fn reach(
    asking: &Asking<'_>,
    stop: &Stop,
) -> anyhow::Result<Option<Vec<Reached>>> {
    let allow = Allow {
        payload: asking.cluster.payload,
        probe: asking.probe,
    };
    if asking.cluster.cluster {
        return in_cluster(asking, allow, stop).await;
    }
    let addresses = asking.cluster.addresses().into_iter();
    let connecting = addresses.map(|address| async move {
        let agent = Agent::connect(&address, allow).await;
        let name = address.to_string();
        match agent {
            Ok(agent) => Ok(Reached { name, agent }),
            Err(error) => Err(anyhow::Error::from(error).context(name)),
        }
    });
    in_turn(connecting, stop).await
}

/// Runs agents in the pods of a cluster. One that cannot be run is told, and left out.
async fn in_cluster(
    asking: &Asking<'_>,
    allow: Allow,
    stop: &Stop,
) -> anyhow::Result<Option<Vec<Reached>>> {
    let namespace = &asking.cluster.agents_namespace;
    let config = ClusterSource::find(asking.capture.kubeconfig.as_deref())?;
    let config = config.context("nothing names a cluster\nhint: --kubeconfig admin.conf")?;
    let cluster = config.to_string();
    let found = Agents::find(config, namespace).await;
    let agents = found.map_err(|words| anyhow!(words).context(cluster.clone()))?;
    if agents.pods().is_empty() {
        bail!(
            "{cluster} has no agents in the namespace {}\nhint: podtrace manifest --agent --image \
             IMAGE | kubectl apply -f - starts them; --agents-namespace names another namespace",
            sanitize(namespace)
        );
    }
    let road = match asking.ends {
        Some(ends) => on_road(&agents, ends).await,
        None => None,
    };
    let is_asked = |pod: &&AgentPod| road.as_ref().is_none_or(|road| road.contains(&pod.node()));
    let pods: Vec<_> = agents.pods().iter().filter(is_asked).cloned().collect();
    if let Some(road) = &road {
        let road: Vec<_> = road.iter().map(|node| sanitize(node)).collect();
        tell(&format!("asking the nodes of the two: {}", list(&road)));
        let has_none = |node: &&String| !pods.iter().any(|pod| pod.node() == **node);
        for node in road.iter().filter(has_none) {
            tell(&format!("{node} has no agent: its packets are unknown"));
        }
    }
    let agents = Arc::new(agents);
    let running = pods.into_iter().map(|pod| {
        let agents = Arc::clone(&agents);
        async move { Ok((pod.clone(), run(&agents, &pod, allow).await)) }
    });
    let Some(ran) = in_turn(running, stop).await? else {
        return Ok(None);
    };
    let (mut reached, mut failed) = (Vec::new(), Vec::new());
    for (pod, ran) in ran {
        let name = format!("pod {namespace}/{}", pod.name());
        match ran {
            Ok(agent) => reached.push(Reached { name, agent }),
            Err(words) => failed.push(format!("{}: no agent in {name}: {words}", pod.node())),
        }
    }
    if reached.is_empty() {
        let first = failed.into_iter().next();
        return Err(anyhow!(
            first.unwrap_or_else(|| { "no node of the two has an agent".to_owned() })
        )
        .context(cluster));
    }
    for words in failed {
        tell(&sanitize(&format!("{words}; its packets are unknown")));
    }
    Ok(Some(reached))
}

/// Runs an agent in a pod; in words, why that does not go.
async fn run(agents: &Agents, pod: &AgentPod, allow: Allow) -> Result<Agent, String> {
    if let Some(absence) = pod.absence() {
        return Err(absence.to_owned());
    }
    let exec = agents.run(pod, allow.options()).await?;
    let said = exec.said;
    let agent = Agent::over(exec.stream).await;
    agent.map_err(|error| said.failure().unwrap_or_else(|| error.to_string()))
}

/// The nodes of two ends, or of the pods behind a Service; none for all, where that is not known.
async fn on_road(agents: &Agents, ends: [&End; 2]) -> Option<BTreeSet<String>> {
    let mut road = BTreeSet::new();
    for end in ends {
        let asked = match &end.peer {
            Peer::Address(range) => Asked::Address(range.single()?),
            Peer::Pod(_) | Peer::Named(_) => match end.text.split_once('/') {
                Some((namespace, name)) => Asked::Named {
                    namespace: Some(namespace),
                    name,
                },
                None => Asked::Named {
                    namespace: None,
                    name: &end.text,
                },
            },
        };
        road.extend(agents.nodes_of(&asked).await?);
    }
    Some(road)
}
