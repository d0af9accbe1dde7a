//! Spans that go on together, by the pod or node that saw them.
use std::{collections::HashMap, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::InstrumentationScope,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};

use super::attributes::Attributes;
use crate::{path::Hop, world::World};

/// The version of the semantic conventions that the attributes are of.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

/// The pod that a hop is in, or the node itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    node: Arc<str>,
    pod: Option<Arc<str>>,
    uid: Option<Arc<str>>,
}

impl Owner {
    pub(super) fn of(hop: &Hop, world: &World) -> Self {
        let point = world.tap_points.get(hop.interface);
        let netns = point.and_then(|point| point.pod_netns());
        Self {
            node: point.map_or_else(|| "".into(), |point| Arc::clone(&point.node_name)),
            pod: point.and_then(|point| world.pod_of(point)),
            uid: netns.and_then(|netns| world.identities.pod_uid(netns)),
        }
    }

    fn resource(&self) -> Resource {
        let mut all = Attributes::default();
        all.text("service.name", self.pod.as_ref().or(Some(&self.node)));
        all.text("k8s.node.name", Some(&self.node));
        all.text("host.name", Some(&self.node));
        if let Some(pod) = &self.pod {
            // What has no known pod has another name.
            let (namespace, name) = pod.split_once('/').unzip();
            all.text("k8s.namespace.name", namespace);
            all.text("k8s.pod.name", name);
            all.text("k8s.pod.uid", self.uid.as_ref());
        }
        Resource {
            attributes: all.all(),
            ..Resource::default()
        }
    }
}

/// Spans by their owners, in the order in which the first of each came.
#[derive(Default)]
pub(super) struct Batch {
    owners: HashMap<Owner, usize>,
    spans: Vec<ResourceSpans>,
    len: usize,
}

impl Batch {
    /// How many spans it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn add(&mut self, owner: &Owner, span: Span) {
        let number = match self.owners.get(owner) {
            Some(number) => *number,
            None => {
                self.owners.insert(owner.clone(), self.spans.len());
                self.spans.push(ResourceSpans {
                    resource: Some(owner.resource()),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(InstrumentationScope {
                            name: "podtrace".to_owned(),
                            version: env!("CARGO_PKG_VERSION").to_owned(),
                            ..InstrumentationScope::default()
                        }),
                        spans: Vec::new(),
                        schema_url: SCHEMA_URL.to_owned(),
                    }],
                    schema_url: SCHEMA_URL.to_owned(),
                });
                self.spans.len() - 1
            }
        };
        let scopes = self.spans.get_mut(number);
        if let Some(scope) = scopes.and_then(|spans| spans.scope_spans.first_mut()) {
            scope.spans.push(span);
            self.len += 1;
        }
    }

    /// Takes the spans, if there are any.
    pub(super) fn take(&mut self) -> Option<ExportTraceServiceRequest> {
        let Self { spans, len, .. } = std::mem::take(self);
        (len > 0).then_some(ExportTraceServiceRequest {
            resource_spans: spans,
        })
    }
}
