//! Credential plugins: how often they run, and the reports about them.
use std::{fs, path::PathBuf};

use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::task::spawn_blocking;

use super::*;
use crate::identity::kubernetes::api::{client::SharedClient, failure::Remedy};

const FAILED: &str =
    "the credential plugin of the kubeconfig failed (exit status: 3): try kubectl with it";

/// A credential plugin in a folder of its own, which is where it runs.
struct Plugin(tempfile::TempDir);

impl Plugin {
    /// A plugin that runs a shell script.
    fn new(script: &str) -> Self {
        let plugin = Self(tempfile::tempdir().unwrap());
        let folder = plugin.0.path().display();
        let script = format!("cd {folder}\necho run >> runs\n{script}\n");
        fs::write(plugin.path("script"), script).unwrap();
        plugin
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The user's entry in the kubeconfig.
    fn user(&self) -> String {
        format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, \
             command: sh, args: ['{}']}}}}",
            self.path("script").display()
        )
    }

    /// How often it was run.
    fn runs(&self) -> usize {
        fs::read_to_string(self.path("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    }
}

/// A line of a script that gives a token; `more` is added to it.
fn token(token: &str, more: &str) -> String {
    format!(
        "echo '{{kind: ExecCredential, apiVersion: client.authentication.k8s.io/v1, \
         status: {{token: {token}{more}}}}}'"
    )
}

#[tokio::test]
async fn a_plugin_runs_once_for_pods_and_nodes() {
    let authority = Authority::new();
    let mut server = authority.serve();
    let plugin = Plugin::new(&token(TOKEN, ""));
    let config = authority.config(server.address, &plugin.user());
    let _updates = Updates::follow(config, PACE);
    server.pods.list().await;
    server.nodes.list().await;
    assert_eq!(plugin.runs(), 1);
}

#[tokio::test]
async fn hanging_plugin_is_reported_twice_and_run_once() {
    let authority = Authority::new();
    let mut server = authority.serve();
    let plugin = Plugin::new(&format!(
        "timeout 60 cat pipe > /dev/null\n{}",
        token(TOKEN, "")
    ));
    mkfifo(&plugin.path("pipe"), Mode::S_IRWXU).unwrap();
    let pace = Pace {
        deadline: Duration::from_secs(1),
        ..PACE
    };
    let config = authority.config(server.address, &plugin.user());
    let mut updates = Updates::follow(config, pace);
    for resource in [Resource::Pods, Resource::Nodes] {
        let reason = updates.outage(resource).await;
        assert_eq!(
            reason,
            "the credential plugin of the kubeconfig does not end"
        );
    }
    assert_eq!(plugin.runs(), 1);

    // It ends after all.
    let pipe = plugin.path("pipe");
    let written = spawn_blocking(move || fs::write(pipe, "go"));
    timeout(DEADLINE, written).await.unwrap().unwrap().unwrap();
    server.pods.list().await;
    server.nodes.list().await;
    assert_eq!(plugin.runs(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_asked_for_again_once() {
    let authority = Authority::new();
    let mut server = authority.serve();
    let plugin = Plugin::new(&format!(
        "if [ $(wc -l < runs) = 1 ]; then {}; else {}; fi",
        token("wr0ng", ""),
        token(TOKEN, "")
    ));
    let config = authority.config(server.address, &plugin.user());
    let mut updates = Updates::follow(config, PACE);
    let reason = updates.outage(Resource::Pods).await;
    assert!(
        reason.contains("(401)") && !reason.contains("wr0ng"),
        "{reason}"
    );
    server.pods.list().await;
    server.nodes.list().await;
    assert_eq!(plugin.runs(), 2);
}

#[tokio::test]
async fn failing_plugin_is_reported_for_pods_and_nodes() {
    let authority = Authority::new();
    let server = authority.serve();
    let plugin = Plugin::new("echo wr0ng; exit 3");
    let config = authority.config(server.address, &plugin.user());
    let mut updates = Updates::follow(config, PACE);
    assert_eq!(updates.outage(Resource::Pods).await, FAILED);
    assert_eq!(updates.outage(Resource::Nodes).await, FAILED);
}

#[tokio::test]
async fn token_renewal_failure_is_reported_without_the_token() {
    let authority = Authority::new();
    let server = authority.serve();
    let expired = token(TOKEN, ", expirationTimestamp: \"2026-01-01T00:00:00Z\"");
    let plugin = Plugin::new(&format!(
        "if [ $(wc -l < runs) = 1 ]; then {}; else echo wr0ng; exit 3; fi",
        expired
    ));
    let config = authority.config(server.address, &plugin.user());
    let mut updates = Updates::follow(config, PACE);
    assert_eq!(updates.outage(Resource::Pods).await, FAILED);
}

#[tokio::test]
async fn failed_client_is_replaced_once() {
    let authority = Authority::new();
    let server = authority.serve();
    let plugin = Plugin::new("exit 3");
    let shared = SharedClient::new(authority.config(server.address, &plugin.user()));
    for number in 1..=3 {
        let (one, other) = tokio::join!(shared.get(number - 1), shared.get(number - 1));
        for made in [one, other] {
            assert_eq!(made.number, number);
            let failure = made.client.err().unwrap();
            assert_eq!(
                (failure.remedy, failure.reason.as_str()),
                (Remedy::Act, FAILED)
            );
        }
        assert_eq!(plugin.runs() as u64, number);
    }
    // A later caller takes the existing client.
    assert_eq!(shared.get(1).await.number, 3);
    assert_eq!(plugin.runs(), 3);
}
