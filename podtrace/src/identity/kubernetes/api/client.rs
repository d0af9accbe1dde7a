//! The client of the API server.
use std::{sync::Arc, thread};

use kube::{Client, Config, client::ConfigExt as _};
use tokio::{
    runtime::Handle,
    sync::{Mutex, oneshot},
};
use tower::{BoxError, Layer as _, service_fn};

use super::{config::ClusterConfig, failure::ApiFailure};
use crate::privilege;

/// The client that all followers of a cluster share: making it may run a credential plugin,
/// which must not run and prompt once for each of them.
#[derive(Clone)]
pub(super) struct SharedClient {
    config: ClusterConfig,
    latest: Arc<Mutex<Option<Made>>>,
}

/// The result of making a client.
#[derive(Clone)]
pub(super) struct Made {
    /// Its number among the clients made, from 1.
    pub(super) number: u64,
    /// The client, or why there is none.
    pub(super) client: Result<Client, ApiFailure>,
}

impl SharedClient {
    pub(super) fn new(config: ClusterConfig) -> Self {
        Self {
            config,
            latest: Arc::default(),
        }
    }

    /// Host and port of the API server, safe to print.
    pub(super) fn server(&self) -> &str {
        self.config.server()
    }

    /// The latest client. It is replaced if its credentials have expired, or if its number is
    /// at most `of_no_use` (0 for none). Only the first caller makes a new client; concurrent
    /// callers wait for it and share the result, even a failure.
    pub(super) async fn get(&self, of_no_use: u64) -> Made {
        let mut latest = self.latest.lock().await;
        if let Some(made) = latest.as_ref()
            && made.number > of_no_use
            && !made.has_expired()
        {
            return made.clone();
        }
        let made = Made {
            number: latest.as_ref().map_or(0, |made| made.number) + 1,
            client: self.make().await,
        };
        *latest = Some(made.clone());
        made
    }

    /// Makes a client on a thread of its own: this reads files and may run a credential plugin
    /// for any length of time, which must delay neither the runtime nor its shutdown.
    async fn make(&self) -> Result<Client, ApiFailure> {
        let (sender, made) = oneshot::channel();
        let config = self.config.client_config();
        let runtime = Handle::current();
        let work = move || {
            // A credential plugin inherits no capabilities.
            let _ = privilege::keep(privilege::NONE);
            let _guard = runtime.enter();
            // The receiver may have been dropped.
            let _ = sender.send(build(config));
        };
        // If no thread can be started, the work and its sender are dropped.
        let _ = thread::Builder::new().name("kubernetes".into()).spawn(work);
        match made.await {
            Ok(made) => made.map_err(|error| ApiFailure::of(&error, self.server())),
            Err(_) => {
                let reason = "the credentials of the kubeconfig cannot be loaded";
                Err(ApiFailure::passing(reason))
            }
        }
    }
}

impl Made {
    fn has_expired(&self) -> bool {
        let until = self.client.as_ref().ok();
        let until = until.and_then(|client| client.valid_until().as_ref());
        until.is_some_and(|until| *until <= jiff::Timestamp::now())
    }
}

/// Builds a client. kube alone would run a credential plugin three times: for
/// the token, for a certificate, and for the time it expires. One that gives a
/// token is run once; only one that gives a certificate is run again.
fn build(mut config: Config) -> kube::Result<Client> {
    let auth = &config.auth_info;
    if auth.exec.is_none() && auth.auth_provider.is_none() {
        return Client::try_from(config);
    }
    let Some(token) = config.auth_layer()? else {
        return Client::try_from(config);
    };
    let auth = &mut config.auth_info;
    (auth.exec, auth.auth_provider) = (None, None);
    (auth.token, auth.token_file) = (None, None);
    (auth.username, auth.password) = (None, None);
    let client = Client::try_from(config)?;
    let namespace = client.default_namespace().to_owned();
    let requests = service_fn(move |request| {
        let client = client.clone();
        async move { client.send(request).await.map_err(BoxError::from) }
    });
    Ok(Client::new(token.layer(requests), namespace))
}
