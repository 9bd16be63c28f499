//! Session tokens, wherever a credential may have one.

use std::fs;

use super::tests::{EXAMPLE, Files};

#[test]
fn session_tokens_are_the_stores_the_clients_and_those_of_clients_at_the_store() {
    let files = Files::new("tokens");
    let text = EXAMPLE.replace("# session_token", "session_token").replace(
        "# upstream.main = { ",
        "upstream.main = { session_token = { file = \"secrets/own-token\" }, ",
    );
    fs::write(files.0.join("secrets/store-operations"), "the-secret-of-operations").unwrap();
    fs::write(files.0.join("secrets/store-main-token"), "the/store's+token==\n").unwrap();
    fs::write(files.0.join("secrets/operations-token"), "the/client's+token==").unwrap();
    fs::write(files.0.join("secrets/own-token"), "the/client's/own").unwrap();
    let config = files.parse(&text).ok().unwrap();
    let operations = &config.clients[1];
    for (credential, token) in [
        (&config.stores["main"].credential, "the/store's+token=="),
        (&operations.credential, "the/client's+token=="),
        (&operations.upstream["main"], "the/client's/own"),
    ] {
        let demanded = credential.session_token();
        assert!(
            demanded.is_some_and(|demanded| demanded.is(token.as_bytes())),
            "{token}"
        );
    }
    assert!(config.clients[0].credential.session_token().is_none());
}
