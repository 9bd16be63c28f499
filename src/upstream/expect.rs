//! `Expect: 100-continue` towards a store (RFC 9110 section 10.1.1): it judges a request from its head, and the body is not taken from
//! the client before the store wants it. So a client that waits to be asked sends nothing that the store refuses.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::EXPECT;
use http::{HeaderValue, Request, StatusCode};
use tokio::sync::watch;

/// How long a store is waited for that says neither 100 nor anything else. RFC 9110 forbids to wait without an end: the store may not
/// know the header.
const PATIENCE: Duration = Duration::from_secs(1);
/// So long after the store's no its connection is kept, to read all of what it says.
const LINGER: Duration = Duration::from_secs(5);

/// What has been heard of the store so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// It wants the body.
    Continue,
    /// It has answered: it will not have the body.
    Answer,
    /// Nothing for too long: it gets the body all the same.
    Silence,
}

/// One request's question whether the store wants its body.
#[derive(Clone, Debug)]
pub(super) struct Question(Arc<watch::Sender<Heard>>);

/// What keeps a body back.
pub(super) struct Hold(State);

enum State {
    Asked(Pin<Box<dyn Future<Output = Heard> + Send>>),
    Refused(Pin<Box<tokio::time::Sleep>>),
}

/// What is to become of a body that was kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go out.
    Go,
    /// Nobody wants it, and it need not be kept.
    Refused,
    /// Nobody wants it, and the connection may go.
    Over,
}

impl Question {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Heard::Nothing)))
    }

    /// Asks it in the request's head. After the signature, for proxies may drop the header.
    pub(super) fn ask<B>(&self, request: &mut Request<B>) {
        request
            .headers_mut()
            .insert(EXPECT, HeaderValue::from_static("100-continue"));
        let question = self.clone();
        hyper::ext::on_informational(request, move |interim| {
            if interim.status() == StatusCode::CONTINUE {
                question.note(Heard::Continue);
            }
        });
    }

    /// Keeps the body back until the answer is known.
    pub(super) fn hold(&self) -> Hold {
        let (question, mut heard) = (self.clone(), self.0.subscribe());
        let answer = async move {
            let heard = heard.wait_for(|heard| *heard != Heard::Nothing);
            match tokio::time::timeout(PATIENCE, heard).await {
                Ok(Ok(heard)) => *heard,
                Ok(Err(_)) => Heard::Silence,
                Err(_) => {
                    question.note(Heard::Silence);
                    Heard::Silence
                }
            }
        };
        Hold(State::Asked(Box::pin(answer)))
    }

    /// The store's answer is there. Whether it had let the body wait in vain.
    pub(super) fn answered(&self) -> bool {
        self.note(Heard::Answer);
        *self.0.borrow() == Heard::Silence
    }

    /// The first word counts.
    fn note(&self, word: Heard) {
        self.0.send_if_modified(|heard| {
            let first = *heard == Heard::Nothing;
            if first {
                *heard = word;
            }
            first
        });
    }
}

impl Hold {
    /// What is to become of the body, once that is known.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Verdict> {
        match &mut self.0 {
            State::Asked(answer) => answer.as_mut().poll(context).map(|heard| match heard {
                Heard::Answer => {
                    self.0 = State::Refused(Box::pin(tokio::time::sleep(LINGER)));
                    Verdict::Refused
                }
                Heard::Continue | Heard::Silence | Heard::Nothing => Verdict::Go,
            }),
            State::Refused(linger) => linger.as_mut().poll(context).map(|()| Verdict::Over),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_word_decides() {
        let question = Question::new();
        let mut hold = question.hold();
        question.note(Heard::Continue);
        assert_eq!(poll_fn(|context| hold.poll(context)).await, Verdict::Go);
        assert!(!question.answered());

        let question = Question::new();
        let mut hold = question.hold();
        assert!(!question.answered(), "no is an answer");
        assert_eq!(poll_fn(|context| hold.poll(context)).await, Verdict::Refused);
        let begun = tokio::time::Instant::now();
        assert_eq!(poll_fn(|context| hold.poll(context)).await, Verdict::Over);
        assert!(begun.elapsed() >= LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_store_gets_the_body_after_a_while_and_is_known_for_it() {
        let question = Question::new();
        let mut hold = question.hold();
        let begun = tokio::time::Instant::now();
        assert_eq!(poll_fn(|context| hold.poll(context)).await, Verdict::Go);
        assert!(begun.elapsed() >= PATIENCE && begun.elapsed() < PATIENCE * 2);
        assert!(question.answered());
    }
}
