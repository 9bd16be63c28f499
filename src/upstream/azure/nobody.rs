//! Questions of nobody's: what the whole world is told past the gate.

use http::Response;
use hyper::body::Incoming;

use crate::upstream::azure::{AzureCall, AzureStore};
use crate::upstream::store::StoreError;

impl AzureStore {
    /// Asks without any credential. `check` looks so whether a container is closed; nothing of a client's is ever asked so.
    ///
    /// # Errors
    /// [`StoreError`]: there was no answer.
    pub async fn send_as_nobody(&self, call: AzureCall<'_>) -> Result<Response<Incoming>, StoreError> {
        let progress = call.body.progress();
        let request = self.request(call, None, None)?;
        self.exchange(request, progress).await
    }
}
