//! What may change while the agent runs.

use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;

use super::auth::Auth;

/// How connections are taken, as the settings have it now.
#[derive(Clone, Default)]
pub struct Settings {
    /// `None`: in the clear.
    pub tls: Option<TlsAcceptor>,
    /// `None`: whoever asks is answered.
    pub auth: Option<Arc<Auth>>,
}

/// Settings that another thread may change.
#[derive(Clone, Default)]
pub struct Current(Arc<RwLock<Arc<Settings>>>);

impl Current {
    /// Those to begin with.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(settings))))
    }

    /// As they are now.
    pub fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in their place. What is connected already goes on as it began.
    pub fn set(&self, settings: Settings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}
